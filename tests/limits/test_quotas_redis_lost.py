"""Quotas of several gateways on a Redis that loses its data."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config.load import parse
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Response
from gateway.http.model_record import ModelRecord
from gateway.http.testing import make_exchange
from gateway.limits.ledger import Ledger
from gateway.limits.quota import quotas_of
from gateway.limits.redis_book import RedisBook, counter_key
from gateway.live import Owner
from gateway.llm.money import Money, money_of
from gateway.middleware.quota import Quotas
from gateway.outside.redis_link import REPORTED_SECONDS, RedisLink, redis_link
from tests.outside.support import linked
from tests.redis_server import RedisServer, running_redis
from tests.support import eventually, pass_on, scripted_backend

UTC = ZoneInfo("UTC")


class Clock:
    """`time` for the way to Redis, which can be held, so that the time for reports lasts as long as a test needs."""

    def __init__(self) -> None:
        self.held: float | None = None
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead if self.held is None else self.held

    def hold(self) -> None:
        self.held = self.monotonic()

    def go_on(self) -> None:
        self.held, self._ahead = None, REPORTED_SECONDS


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That of the ways to Redis."""
    made = Clock()
    monkeypatch.setattr("gateway.outside.redis_link.time", made)
    return made


@asynccontextmanager
async def counting(server: RedisServer) -> AsyncIterator[tuple[Ledger, RedisLink]]:
    """One gateway of several that count in this Redis."""
    async with linked(server) as link:
        ledger = Ledger("monthly", "month", UTC, RedisBook(link))
        await ledger.start()
        try:
            yield ledger, link
        finally:
            await ledger.stop()


async def count(ledger: Ledger, times: int) -> None:
    """Count so many requests, and have them written."""
    while ledger.used("acme") is None:
        await ledger.read("acme")
    ledger.add("acme", times)
    await eventually(lambda: not ledger.pending)


async def seen(ledger: Ledger) -> int | None:
    """What is used, as Redis knows it by now."""
    ledger.look("acme")
    await eventually(lambda: not ledger.pending)
    return ledger.used("acme")


def counted(server: RedisServer, ledger: Ledger) -> int:
    """What this Redis has counted, before anything was forgiven; 0 where it knows nothing."""
    key = counter_key("gateway:", "monthly", "acme", ledger.span())
    lines = server.ask(f"GET {key}").split(b"\r\n")
    return int(lines[1]) if len(lines) > 2 else 0


@pytest.mark.parametrize("reset", [False, True])
async def test_what_one_replica_adds_to_a_redis_that_forgot_counts_beside_what_another_knows(
    tmp_path: Path, clock: Clock, *, reset: bool
) -> None:
    """Where requests are counted before the replica that knows most of what is used has reported it, both count; and
    so it is with what is forgiven."""
    with running_redis(tmp_path) as server:
        async with counting(server) as (knows, late), counting(server) as (adds, link):
            await count(adds, 3)
            await count(knows, 5)
            server.kill()
            await eventually(lambda: not link.available and not late.available)
            late.tasks.cancel()  # it does not hear of Redis for a while
            if reset:
                assert await adds.reset("acme") == 3
            adds.add("acme", 2)
            clock.hold()
            server.start()
            await eventually(lambda: counted(server, adds) == 3)
            await late.start()
            await eventually(lambda: counted(server, knows) == 8)
            clock.go_on()
            await eventually(lambda: knows.book.available and adds.book.available and not adds.pending)
            assert await seen(knows) == (7 if reset else 10)


async def test_a_replica_that_ends_meanwhile_writes_what_it_has_counted(tmp_path: Path, clock: Clock) -> None:
    """It has no other time for it."""
    with running_redis(tmp_path) as server:
        async with counting(server) as (knows, late):
            async with counting(server) as (adds, link):
                await count(adds, 3)
                server.kill()
                await eventually(lambda: not link.available and not late.available)
                adds.add("acme", 2)
                clock.hold()
                server.start()
                await eventually(lambda: link.answers)
                assert not adds.book.available
            clock.go_on()
            await eventually(lambda: knows.book.available)
            while knows.used("acme") is None:
                await knows.read("acme")
            assert knows.used("acme") == 5


FILES = {
    "routes.yaml": "routes: [{id: chat, path: /*, target: models, auth: []}]",
    "models.yaml": """
providers: {local: {protocol: openai, base_url: http://127.0.0.1:9, models: [small]}}
tool_quotas:
  searches: {key: [route], tools: [web_*], store: redis, on_failure: %s, limit: 20, window: month}
""",
    "middleware.yaml": """
redis: {url: '%s', timeout: 1s}
quotas: {monthly: {key: [route], store: redis, on_failure: %s, limit: 20, window: month}}
""",
}
TOOLS = {"tools": [{"function": {"name": "web_search"}}]}


@dataclass
class Gateway:
    """One gateway, with a quota of requests and one of tools, of 20 each."""

    requests: Quotas
    money: Money
    link: RedisLink

    async def ask(self, kind: str) -> object:
        """One request, which calls a tool; why it is refused."""
        exchange = make_exchange(route="chat")
        try:
            if kind == "requests":
                await self.requests.wrap(_answered)(exchange)
            else:
                await self.money.tools.check(exchange, TOOLS)
                exchange.model = ModelRecord("openai.chat")
                exchange.model.tool_calls = ("web_search",)
                self.money.tools.count(exchange)
        except GatewayError as error:
            return error.kind
        return None

    @property
    def pending(self) -> int:
        """Counts that Redis does not have yet."""
        return self.requests.quotas[0].ledger.pending + self.money.tools.quotas[0].ledger.pending


async def _answered(_: Exchange) -> Response:
    return Response(200, [], b"")


@asynccontextmanager
async def gateway(server: RedisServer, on_failure: str, base: Path) -> AsyncIterator[Gateway]:
    """One gateway of several."""
    files = FILES | {
        "models.yaml": FILES["models.yaml"] % on_failure,
        "middleware.yaml": FILES["middleware.yaml"] % (server.url, on_failure),
    }
    configuration = parse({name: text.encode() for name, text in files.items()}, {}, base=base)
    owner = Owner()
    plan = owner.plan()
    context = Context(configuration, plan)
    made = Gateway(Quotas(tuple(quotas_of(context, "chat"))), money_of(context), redis_link(context))
    await owner.adopt(plan)
    await owner.release()
    await eventually(lambda: made.link.calls > 0 and made.link.answers)
    try:
        yield made
    finally:
        await owner.stop()


@pytest.mark.parametrize("kind", ["requests", "tools"])
@pytest.mark.parametrize("on_failure", ["closed", "local", "open"])
async def test_until_all_gateways_have_reported_on_failure_holds(
    on_failure: str, kind: str, tmp_path: Path, clock: Clock
) -> None:
    """A Redis that comes back empty is none for so long: `closed` refuses, `local` takes its share of what was left,
    `open` lets pass. Later all that was counted meanwhile counts, and no more than the quota is let through."""
    with running_redis(tmp_path) as server:
        async with AsyncExitStack() as stack:
            both = [await stack.enter_async_context(gateway(server, on_failure, tmp_path)) for _ in range(2)]
            await eventually(lambda: all(each.link.replicas == 2 for each in both))
            for each in both:  # so that each knows of what the other ones used
                assert [await each.ask(kind) for _ in range(5)] == [None] * 5
                await eventually(lambda: not any(one.pending for one in both))
            assert await both[0].ask(kind) is None
            await eventually(lambda: not any(one.pending for one in both))
            server.kill()
            await eventually(lambda: not any(each.link.available for each in both))
            clock.hold()
            server.start()
            await eventually(lambda: all(each.link.answers for each in both))
            outcomes = [[await each.ask(kind) for _ in range(10)] for each in both]
            clock.go_on()
            await eventually(lambda: all(each.link.complete and not each.pending for each in both))
            passed = 11 + sum(outcome.count(None) for outcome in outcomes)
            ledger = (both[1].requests if kind == "requests" else both[1].money.tools).quotas[0].ledger
            ledger.look("=chat")
            await eventually(lambda: not ledger.pending)
            assert ledger.used("=chat") == passed
    first, second = outcomes
    if on_failure == "closed":
        assert set(first) == set(second) == {ErrorKind.STORE_UNAVAILABLE}
    elif on_failure == "open":
        assert passed == 31
    else:  # 11 are used, as one gateway knows; the other one knows of 10, or of all by now
        assert [each.count(None) for each in outcomes] in ([4, 4], [4, 5])
        assert first[-1] is second[-1] is ErrorKind.QUOTA_EXCEEDED


class Switch:
    """What connects to the Redis that a name means at the time."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(pass_on(reader, to_redis))
                both.create_task(pass_on(from_redis, writer))
        finally:
            to_redis.close()


async def test_a_call_under_way_adds_nothing_to_a_redis_that_knows_less(tmp_path: Path, clock: Clock) -> None:
    """Where another Redis takes the place of one, what was asked of that is asked anew when all have reported."""
    for name in ("former", "later"):
        (tmp_path / name).mkdir()
    with running_redis(tmp_path / "former") as former, running_redis(tmp_path / "later") as later:
        switch = Switch(former.port)
        async with scripted_backend(switch) as port:
            place = RedisServer(tmp_path, port=port)
            async with counting(place) as (knows, late), counting(place) as (adds, link):
                await count(adds, 3)
                await count(knows, 5)
                late.tasks.cancel()  # it does not hear of Redis for a while
                former.freeze()
                adds.add("acme", 2)
                calls = link.calls
                await eventually(lambda: link.calls > calls + 1)  # a sign of life, and the count
                clock.hold()
                switch.port = later.port
                former.kill()
                await eventually(lambda: counted(later, adds) >= 3)
                await late.start()
                await eventually(lambda: counted(later, knows) == 8)
                clock.go_on()
                await eventually(lambda: knows.book.available and adds.book.available and not adds.pending)
                assert await seen(knows) == 10
