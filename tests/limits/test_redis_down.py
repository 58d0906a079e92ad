"""Redis killed, frozen and restarted under load: no request waits longer than the limit, and it recovers by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.limits.exact import Bid, ExactStore
from gateway.limits.leased import LeasedStore
from gateway.outside.redis_link import FAILURES, PROBE_SECONDS, RedisLink
from tests.limits.support import Lateness, windows
from tests.outside.support import linked
from tests.redis_server import RedisServer
from tests.support import eventually

MOST_SECONDS = 0.025
HELD = windows("1000000/s")

Ask = Callable[[], Awaitable[object]]
Mode = Callable[[RedisServer, RedisLink], AbstractAsyncContextManager[Ask]]


@dataclass
class Load:
    """Sixteen clients that ask without a pause: how long they waited at most, and whether there was an answer."""

    ask: Ask
    longest: float = 0.0
    answers: int = 0
    failures: int = 0
    lateness: Lateness = field(default_factory=Lateness)

    async def client(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started, late = loop.time(), self.lateness.seconds
            answer = await self.ask()
            late = self.lateness.seconds - late
            self.longest = max(self.longest, loop.time() - started - late)
            self.answers += answer is not None
            self.failures += answer is None
            await asyncio.sleep(0.001)

    async def until_answered(self) -> None:
        before = self.answers
        await eventually(lambda: self.answers > before + 50, message="it does not recover")

    async def until_failed(self) -> None:
        before = self.failures
        await eventually(lambda: self.failures > before + 50, message="it does not notice")

    def check(self) -> None:
        """Beyond what the machine itself was late by, no request waited longer than allowed."""
        assert self.longest <= MOST_SECONDS


@asynccontextmanager
async def under_load(ask: Ask) -> AsyncIterator[Load]:
    load = Load(ask)
    async with load.lateness:
        clients = [asyncio.create_task(load.client()) for _ in range(16)]
        try:
            yield load
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)


@asynccontextmanager
async def exact(_: RedisServer, link: RedisLink) -> AsyncIterator[Ask]:
    store = ExactStore(link)
    bids = [Bid("test", "load", HELD, 1, enforced=True)]
    yield lambda: store.take(bids, link.patience())


@asynccontextmanager
async def leased(server: RedisServer, link: RedisLink) -> AsyncIterator[Ask]:
    """With shares of one request, because there is a second replica: so that many requests wait for settlements."""
    held = windows("1000000/s", burst=4)
    store = LeasedStore("test", link)

    async def ask() -> object:
        taken = store.take("load", held, 1, time.monotonic_ns())
        return taken or await store.ask("load", held, 1, link.patience())

    async with linked(server, 0.02):
        await eventually(lambda: link.replicas == 2)
        await store.start()
        yield ask
        await store.stop()


@pytest.mark.parametrize("mode", [exact, leased])
async def test_a_frozen_redis_delays_no_request(own_redis: RedisServer, mode: Mode) -> None:
    """A Redis that stops in the middle is given up after the time limit, and taken up again when it goes on."""
    async with linked(own_redis, 0.02) as link, mode(own_redis, link) as ask, under_load(ask) as load:
        await load.until_answered()
        own_redis.freeze()
        await load.until_failed()
        await eventually(lambda: not link.available)
        calls, began = link.calls, time.monotonic()
        await load.until_failed()
        # Only the probes: requests do not even try.
        assert link.calls <= calls + 2 + (time.monotonic() - began) / PROBE_SECONDS
        own_redis.thaw()
        await load.until_answered()
        await eventually(lambda: link.available)
    load.check()


@pytest.mark.parametrize("mode", [exact, leased])
async def test_a_killed_redis_delays_no_request(own_redis: RedisServer, mode: Mode) -> None:
    """A Redis that ends and is started again is used again, by itself."""
    async with linked(own_redis, 0.02) as link, mode(own_redis, link) as ask, under_load(ask) as load:
        await load.until_answered()
        own_redis.kill()
        await load.until_failed()
        await eventually(lambda: not link.available)
        await asyncio.to_thread(own_redis.start)
        await load.until_answered()
        assert link.outages >= 1
    load.check()


async def test_an_outage_is_reported_once(own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """However many requests fail, the log has a line for the outage and not one for each."""
    async with linked(own_redis, 0.02) as link, exact(own_redis, link) as ask, under_load(ask) as load:
        own_redis.kill()
        await load.until_failed()
    assert link.failures >= FAILURES
    assert 1 <= len([record for record in caplog.records if record.name == "gateway.limits"]) <= 2


async def test_a_gateway_starts_without_redis(own_redis: RedisServer) -> None:
    """A link to a Redis that is not there yet starts at once, and works as soon as it is."""
    own_redis.kill()
    link = RedisLink(own_redis.url, 0.02, "gateway:")
    await link.start()
    await eventually(lambda: not link.available)
    await asyncio.to_thread(own_redis.start)
    await eventually(lambda: link.available)
    await link.stop()
