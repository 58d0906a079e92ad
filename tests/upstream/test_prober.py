"""Active health checks, against backends that answer as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.http import Exchange
from gateway.http.testing import make_exchange
from gateway.upstream.cluster import Cluster
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import NOT_CHECKED, Signal
from gateway.upstream.member import Address, Member
from gateway.upstream.probe import Check
from gateway.upstream.probe_turns import ProbeTurns
from gateway.upstream.prober import Prober
from gateway.upstream.request import Timeouts
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver
from tests.support import eventually, free_port, scripted_backend
from tests.upstream.wire import Wire, read_message

FAST = Check("/health", interval=0.03, timeout=5, unhealthy_after=2, healthy_after=2)


@dataclass
class Patient:
    """A backend whose health can be changed."""

    status: int = 200
    body: bytes = b"all is well"
    hangs: bool = False
    fails_every_second: bool = False
    asked: list[Wire] = field(default_factory=list)
    port: int = 0
    requests: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await read_message(reader)
            if "/health" in message.start:
                self.asked.append(message)
            else:
                self.requests += 1
            if self.hangs:
                await asyncio.sleep(60)
            status = 500 if self.fails_every_second and len(self.asked) % 2 else self.status
            head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(self.body)}\r\n\r\n"
            writer.write(head.encode() + self.body)


@contextlib.asynccontextmanager
async def patients(count: int = 1) -> AsyncIterator[list[Patient]]:
    async with contextlib.AsyncExitStack() as stack:
        made = [Patient() for _ in range(count)]
        for patient in made:
            patient.port = await stack.enter_async_context(scripted_backend(patient.serve))
        yield made


def upstream_of(*ports: int) -> Upstream:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    members = [Member(Address("127.0.0.1", port)) for port in ports]
    return Upstream("s", connector, Settings(BALANCERS["round_robin"]), members)


@contextlib.asynccontextmanager
async def probing(upstream: Upstream, check: Check = FAST) -> AsyncIterator[Prober]:
    prober = Prober(upstream, check, ProbeTurns())
    await prober.start()
    yield prober
    prober.retire()


def is_up(endpoint: Endpoint) -> bool:
    return endpoint.health.out(time.perf_counter()) is None


async def test_out_and_in_again() -> None:
    """An endpoint that fails so many checks in a row gets no requests, until it passes so many in a row."""
    async with patients() as (patient,):
        upstream = upstream_of(patient.port)
        (endpoint,) = upstream.endpoints
        async with probing(upstream):
            await eventually(lambda: endpoint.health.checked is not None)
            assert is_up(endpoint)
            patient.status = 503
            await eventually(lambda: not is_up(endpoint))
            out = endpoint.health.out(time.perf_counter())
            assert out is not None
            assert out[0] is Signal.PROBE
            assert out[1].reason.endswith(" checks failed: answered 503")  # 2, or more of them by now
            assert upstream.pick(make_exchange(), time.perf_counter(), ()) is not None  # all are down: all are tried
            patient.status = 200
            await eventually(lambda: is_up(endpoint))


async def test_back_again() -> None:
    """One passed check is not enough to be in again, unless every endpoint is out."""
    async with patients(2) as (patient, other):
        upstream = upstream_of(patient.port, other.port)
        patient.status = 500
        async with probing(upstream, Check("/health", interval=0.1, unhealthy_after=1)) as prober:
            await eventually(lambda: not is_up(upstream.endpoints[0]))
            patient.fails_every_second, patient.status = True, 200
            checks = prober.checks
            await eventually(lambda: prober.checks >= checks + 8)
            assert not is_up(upstream.endpoints[0])
            other.status = 500
            await eventually(lambda: is_up(upstream.endpoints[0]))


async def test_one_failed_check_is_none() -> None:
    """Single failures between passed checks change nothing."""
    async with patients() as (patient,):
        upstream = upstream_of(patient.port)
        (endpoint,) = upstream.endpoints
        async with probing(upstream) as prober:
            patient.fails_every_second = True
            await eventually(lambda: prober.failures >= 3 and prober.checks >= 6)
            assert is_up(endpoint)


@pytest.mark.parametrize(
    ("check", "result"),
    [
        (Check("/health?deep=1"), "passed"),
        (Check("/health", statuses=((204, 204), (300, 399))), "answered 200 to GET /health: is that its health check?"),
        (Check("/health", contains=b"is well"), "passed"),
        (Check("/health", contains=b"not there"), "its answer does not contain the expected text"),
        (Check(None), "passed"),
    ],
)
async def test_what_passes(check: Check, result: str) -> None:
    """The status, the text, or the connection alone decide; what came of it can be read, with its time."""
    at, began = time.time(), time.perf_counter()
    async with patients() as (patient,):
        upstream = upstream_of(patient.port)
        async with probing(upstream, check):
            (endpoint,) = upstream.endpoints
            await eventually(lambda: endpoint.health.checked is not None)
            checked = endpoint.health.checked
            assert checked is not None
            assert (checked.result, checked.passed) == (result, result == "passed")
            assert 0 < checked.seconds < time.perf_counter() - began
            assert at <= checked.at <= time.time()


async def test_what_is_asked() -> None:
    """The method, path, query and Host of the check are those of the configuration."""
    async with patients() as (patient,):
        upstream = upstream_of(patient.port)
        async with probing(upstream, Check("/health?deep=1", method="HEAD", host=b"shop.test")):
            await eventually(lambda: bool(patient.asked))
        assert patient.asked[0].start == "HEAD /health?deep=1 HTTP/1.1"
        assert patient.asked[0].fields["host"] == "shop.test"


@pytest.mark.parametrize("tcp", [False, True])
async def test_no_listener(tcp: bool) -> None:
    """An endpoint that accepts no connection is out, and the reason says so."""
    upstream = upstream_of(free_port())
    (endpoint,) = upstream.endpoints
    async with probing(upstream, Check(None if tcp else "/health", interval=0.03, unhealthy_after=1)):
        await eventually(lambda: not is_up(endpoint))
        assert endpoint.health.checked is not None
        assert endpoint.health.checked.result == "Connection refused"


async def test_initially_unhealthy() -> None:
    """Where that is asked for, an endpoint gets no requests until its first check, of which one is enough."""
    async with patients() as (patient,):
        upstream = upstream_of(patient.port)
        (endpoint,) = upstream.endpoints
        async with probing(upstream, Check("/health", initially_up=False, healthy_after=3, interval=60)):
            out = endpoint.health.out(time.perf_counter())
            assert out is not None
            assert out[1].reason == NOT_CHECKED
            assert upstream.pick(make_exchange(), time.perf_counter(), ()) is None
            await eventually(lambda: is_up(endpoint))


async def test_a_changed_check_keeps_the_verdict() -> None:
    """After a reload with another check an endpoint stays out until that one has passed; without any, it is in."""
    async with patients() as (patient,):
        upstream = upstream_of(patient.port)
        (endpoint,) = upstream.endpoints
        patient.status = 500
        async with probing(upstream):
            await eventually(lambda: not is_up(endpoint))
            patient.hangs = True
            slow = Prober(upstream, Check("/health", interval=60, timeout=60), ProbeTurns())
            await slow.start()
        assert not is_up(endpoint)
        slow.retire()
        assert is_up(endpoint)
        assert upstream.followers == []


async def test_who_joins_is_checked_and_who_leaves_is_not() -> None:
    """A new endpoint is checked at once, whatever the interval; a removed one never again."""
    async with patients(2) as (first, second):
        upstream = upstream_of(first.port)
        async with probing(upstream, Check("/health", interval=0.2)):
            await eventually(lambda: bool(first.asked))
            upstream.replace([Member(Address("127.0.0.1", second.port))])
            asked = len(first.asked)
            await eventually(lambda: len(second.asked) >= 4)
            assert len(first.asked) <= asked + 1  # which was on its way


async def test_checks_are_spread() -> None:
    """Services that begin together do not check in the same moment, nor more at a time than may be."""
    async with patients(1) as (patient,):
        turns, began = ProbeTurns(per_second=100, at_once=3), time.perf_counter()
        upstreams = [upstream_of(patient.port) for _ in range(30)]
        probers = [Prober(upstream, Check("/health", interval=60), turns) for upstream in upstreams]
        for prober in probers:
            await prober.start()
        await eventually(lambda: sum(prober.checks for prober in probers) == 30)
        assert time.perf_counter() - began > 0.25
        patient.hangs = True
        again = [Prober(upstream, Check("/health", interval=60, timeout=60), turns) for upstream in upstreams]
        for prober in again:
            await prober.start()
        await eventually(lambda: len(patient.asked) == 33)
        await asyncio.sleep(0.1)
        assert len(patient.asked) == 33
        for prober in again[:3]:
            prober.retire()
        await eventually(lambda: len(patient.asked) == 36)
        for prober in (*probers, *again):
            prober.retire()


async def test_checks_stay_spread() -> None:
    """The second checks of those that began together are spread over the interval, after a reload as after a start."""
    async with patients(1) as (patient,):
        turns, upstreams = ProbeTurns(), [upstream_of(patient.port) for _ in range(40)]
        for _ in range(2):
            began = time.perf_counter()
            probers = [Prober(upstream, Check("/health", interval=60), turns) for upstream in upstreams]
            for prober in probers:
                await prober.start()
            await eventually(lambda: all(prober.checks for prober in probers))  # noqa: B023  until then
            due = sorted(watched.due - began for prober in probers for watched in prober._watched.values())
            assert due[9] < 30 < due[29]
            for prober in probers:
                prober.retire()


@pytest.mark.parametrize("by", ["its checks", "its heartbeat"])
async def test_waiting_requests_move_on(by: str) -> None:
    """A GET that waits for an endpoint which is found down is answered by another one; a POST goes on waiting."""
    async with patients(2) as (hanging, well):
        hanging.hangs = True
        upstream = upstream_of(hanging.port, well.port)
        cluster = Cluster("s", upstream, Timeouts(response_header=20))

        async def ask(method: str) -> Exchange:
            exchange = make_exchange(method)
            exchange.target_path = "/x"
            try:
                await cluster(exchange)
            finally:
                exchange.close()
            return exchange

        asked = [asyncio.create_task(ask(method)) for method in ("GET", "GET", "POST", "POST")]
        await eventually(lambda: hanging.requests == 2)
        async with probing(upstream, replace(FAST, timeout=0.5)) if by == "its checks" else contextlib.nullcontext():
            if by == "its heartbeat":
                members = [each.member for each in upstream.endpoints]
                upstream.replace([replace(each, late=each.address.port == hanging.port) for each in members])
            done = [each for each in await asyncio.gather(*asked[:2]) if len(each.attempts) == 2]
        assert [(each.retry, each.status) for each in done[0].attempts] == [("found down", 0), ("", 200)]
        posts = await asyncio.wait(asked[2:], timeout=0.1)
        assert len(posts[1]) == 1
        for task in posts[1]:
            task.cancel()


async def test_one_failed_check_moves_what_waits() -> None:
    """A GET that waits for longer than a check had for its answer moves on, long before the endpoint is found down."""
    async with patients(2) as (hanging, well):
        hanging.hangs = True
        upstream = upstream_of(hanging.port, well.port)
        cluster = Cluster("s", upstream, Timeouts(response_header=20))

        async def ask() -> list[str]:
            exchange = make_exchange()
            exchange.target_path = "/x"
            try:
                await cluster(exchange)
            finally:
                exchange.close()
            return [each.retry for each in exchange.attempts]

        asked = [asyncio.create_task(ask()) for _ in range(2)]
        await eventually(lambda: hanging.requests == 1)
        async with probing(upstream, Check("/health", interval=60, timeout=0.2, unhealthy_after=3)):
            assert sorted(await asyncio.gather(*asked)) == [[""], ["found down", ""]]
            assert is_up(upstream.endpoints[0])
