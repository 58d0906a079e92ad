"""The connections of one endpoint, counted, whatever becomes of those who wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

import pytest

from gateway.deadlines import Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http.messages import Attempt
from gateway.http.testing import make_exchange
from gateway.upstream.connection import Connection
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.member import Address, Member
from gateway.upstream.pool import PoolLimits
from gateway.upstream.request import Request, Timeouts
from gateway.upstream.transport import Connector, Resolver
from tests.support import eventually, scripted_backend
from tests.upstream.wire import OK, always, answering


def endpoint_at(port: int, limits: PoolLimits) -> Endpoint:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    return Endpoint(Member(Address("127.0.0.1", port)), connector, limits)


@contextlib.asynccontextmanager
async def endpoint(limits: PoolLimits, answer: bytes = OK) -> AsyncIterator[Endpoint]:
    async with scripted_backend(always(answer)) as port:
        one = endpoint_at(port, limits)
        yield one
        one.retire()
        await eventually(lambda: one.connections.open_and_idle == (0, 0))


async def ask(connection: Connection) -> None:
    """One exchange, whole."""
    request = Request(make_exchange(), [], b"x", Timeouts(response_header=5, idle=5))
    response = await connection.exchange(request, Attempt("x", 0.0))
    if not isinstance(response.body, bytes):
        try:
            while await response.body.read():
                pass
        finally:
            response.body.close()


@pytest.mark.parametrize("answer", [OK, OK.replace(b"200 OK", b"200 OK\r\nConnection: close")], ids=["kept", "closed"])
async def test_cancelled_waiters_leak_nothing(answer: bytes) -> None:
    """A request that is cancelled, whether waiting, connecting or being served, leaves the count of connections
    right."""
    chance = random.Random(7)
    async with endpoint(PoolLimits(connections=3, pending=1000, idle=2), answer) as one:

        async def request() -> None:
            await ask(one.connections.reuse(time.perf_counter(), once=False) or await one.connections.acquire(5))

        async def give_up_somewhere(task: asyncio.Task[None]) -> None:
            for _ in range(chance.randrange(30)):
                await asyncio.sleep(0)
            task.cancel()

        for _ in range(15):
            tasks = [asyncio.create_task(request()) for _ in range(20)]
            for task in chance.sample(tasks, 12):
                asyncio.create_task(give_up_somewhere(task))  # noqa: RUF006
            await asyncio.gather(*tasks, return_exceptions=True)
        await eventually(lambda: one.connections.open_and_idle[0] == one.connections.open_and_idle[1] <= 2)
        await asyncio.gather(*(request() for _ in range(50)))


async def test_given_up_when_served() -> None:
    """A connection that comes free for a request that is cancelled at that moment goes to the next in the queue."""
    async with endpoint(PoolLimits(connections=1)) as one:
        held = await one.connections.acquire(5)
        first, second = (asyncio.create_task(one.connections.acquire(5)) for _ in range(2))
        await asyncio.sleep(0)
        one.connections.released(held)
        first.cancel()
        assert await second is held
        assert one.connections.open_and_idle == (1, 0)
        one.connections.released(held)


async def test_lost_when_served() -> None:
    """A connection that dies between coming free and being used is replaced by a fresh one."""
    async with endpoint(PoolLimits(connections=1)) as one:
        held = await one.connections.acquire(5)
        waiting = asyncio.create_task(one.connections.acquire(5))
        await asyncio.sleep(0)
        one.connections.released(held)
        held.close()
        fresh = await waiting
        assert fresh is not held
        await ask(fresh)
        assert one.connections.open_and_idle == (1, 1)


async def test_queue() -> None:
    """A request that waits too long, or finds the queue full, gets the error that the service is at its limit."""
    async with endpoint(PoolLimits(connections=1, pending=1)) as one:
        held = await one.connections.acquire(5)
        waiting = asyncio.create_task(one.connections.acquire(0.05))
        await asyncio.sleep(0)
        with pytest.raises(GatewayError, match="1 connection and 1 request waiting") as full:
            await one.connections.acquire(5)
        with pytest.raises(GatewayError, match=r"came free in 0\.05 s") as late:
            await waiting
        assert (full.value.kind, late.value.kind) == (ErrorKind.CONCURRENCY_LIMIT, ErrorKind.CONCURRENCY_LIMIT)
        one.connections.released(held)
        assert one.connections.open_and_idle == (1, 1)


async def test_raised_limit_serves_the_queue() -> None:
    """A reload that allows more connections helps those who wait already."""
    async with endpoint(PoolLimits(connections=1)) as one:
        held = await one.connections.acquire(5)
        waiting = [asyncio.create_task(one.connections.acquire(5)) for _ in range(2)]
        await asyncio.sleep(0)
        one.configure(PoolLimits(connections=3))
        for connection in await asyncio.gather(*waiting):
            await ask(connection)
        assert one.connections.open_and_idle == (3, 2)
        one.configure(PoolLimits(connections=1))
        for _ in range(2):
            await ask(one.connections.reuse(time.perf_counter(), once=False) or await one.connections.acquire(5))
        await eventually(lambda: one.connections.open_and_idle == (1, 0))
        held.close()


async def test_failed_connects_are_not_counted() -> None:
    """Connections that could not be made, or were given up while being made, are not counted."""
    async with scripted_backend(answering()) as port:
        one = endpoint_at(port, PoolLimits(connections=2))
        for steps in range(12):
            task = asyncio.create_task(one.connections.acquire(5))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(outcome, BaseException):
                outcome.close()
        await eventually(lambda: one.connections.open_and_idle[0] == 0)


@pytest.mark.parametrize(
    ("address", "tls", "host"),
    [
        (Address("::1%lo", 80), False, b"[::1]"),
        (Address("::1%lo", 8080), False, b"[::1]:8080"),
        (Address("fe80::1%eth0", 443), True, b"[fe80::1]"),
        (Address("::1", 80), False, b"[::1]"),
        (Address("a.example", 8080), False, b"a.example:8080"),
    ],
)
def test_the_zone_of_an_address_stays_here(address: Address, tls: bool, host: bytes) -> None:
    """`[::1%lo]:80` says through which interface to connect: neither Host nor the name in TLS has it (RFC 6874)."""
    assert address.authority(tls=tls) == host
    assert "%" not in address.name


async def test_old_connections_are_for_what_may_be_sent_twice() -> None:
    """A POST gets no connection that the endpoint may be about to close, also where no other can be opened."""
    async with endpoint(PoolLimits(connections=1)) as one:
        await ask(await one.connections.acquire(5))
        one.connections.idle_limit.closed(0.01)
        later = time.perf_counter() + 0.1
        assert one.connections.reuse(later, once=True) is None
        again = one.connections.reuse(later, once=False)
        assert again is not None
        await ask(again)  # it was not closing after all
        fresh = await one.connections.acquire(5)
        assert fresh is not again
        one.connections.released(fresh)
        assert one.connections.open_and_idle == (1, 1)


async def test_a_connection_that_ended_unnoticed_is_not_taken() -> None:
    """An end that came in the same turn of the loop is seen before a POST is sent into it."""
    async with scripted_backend(answering(OK)) as port:
        one = endpoint_at(port, PoolLimits())
        await ask(await one.connections.acquire(5))
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251
        assert one.connections.reuse(time.perf_counter(), once=True) is None
        one.retire()


async def test_max_age_and_requests() -> None:
    """A connection is closed when it has served its number of requests, or has become too old."""
    async with endpoint(PoolLimits(requests=2)) as one:
        connection = await one.connections.acquire(5)
        await ask(connection)
        assert one.connections.open_and_idle == (1, 1)
        await ask(one.connections.reuse(time.perf_counter(), once=False) or await one.connections.acquire(5))
        await eventually(lambda: one.connections.open_and_idle == (0, 0))
        one.configure(PoolLimits(age=0.2))
        await ask(await one.connections.acquire(5))
        await eventually(lambda: one.connections.open_and_idle == (0, 0))
