"""Passive health: what becomes of requests decides who gets the next ones."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from gateway.algorithms.outlier_detection import OutlierSettings
from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange
from gateway.http.testing import make_exchange
from gateway.upstream.cluster import Cluster
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Signal
from gateway.upstream.member import Address, Member
from gateway.upstream.probe import Check
from gateway.upstream.probe_turns import ProbeTurns
from gateway.upstream.prober import Prober
from gateway.upstream.request import Timeouts
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver
from tests.support import eventually, free_port, scripted_backend
from tests.upstream.wire import read_message

THREE = OutlierSettings(consecutive=3, interval=0.2, base_ejection=60)
SHORTLY = replace(THREE, base_ejection=0.3)


@dataclass
class Backend:
    """Answers with a status, or not at all."""

    status: int = 200
    hangs: bool = False
    delay: float = 0.0
    port: int = 0
    requests: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            start = (await read_message(reader)).start
            if "/health" not in start:
                self.requests += 1
                if self.hangs:
                    await asyncio.sleep(60)
                await asyncio.sleep(self.delay)
            status = 200 if "/health" in start else self.status
            writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 2\r\n\r\nok".encode())


@contextlib.asynccontextmanager
async def service(count: int, settings: OutlierSettings | None = THREE) -> AsyncIterator[tuple[Cluster, list[Backend]]]:
    """A service with so many backends, asked in turn."""
    async with contextlib.AsyncExitStack() as stack:
        backends = [Backend() for _ in range(count)]
        for backend in backends:
            backend.port = await stack.enter_async_context(scripted_backend(backend.serve))
        yield cluster_of([backend.port for backend in backends], settings), backends


def cluster_of(ports: list[int], settings: OutlierSettings | None = THREE) -> Cluster:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    members = [Member(Address("127.0.0.1", port)) for port in ports]
    upstream = Upstream("s", connector, Settings(BALANCERS["round_robin"], outliers=settings), members)
    return Cluster("s", upstream, Timeouts(response_header=20))


async def ask(cluster: Cluster, method: str = "GET") -> Exchange:
    """One request, whatever comes of it."""
    exchange = make_exchange(method)
    exchange.target_path = "/x"
    try:
        with contextlib.suppress(GatewayError):
            await cluster(exchange)
    finally:
        exchange.close()
    return exchange


def out(endpoint: Endpoint) -> str:
    """Why an endpoint gets no requests; empty where it does."""
    found = endpoint.health.out(time.perf_counter())
    return f"{found[0].value}: {found[1].reason}" if found else ""


async def test_failures_in_a_row() -> None:
    """Three answers of 500 and above in a row take an endpoint out."""
    async with service(3) as (cluster, backends):
        bad = cluster.upstream.endpoints[1]
        backends[1].status = 500
        for _ in range(9):
            await ask(cluster)
        assert backends[1].requests == 3
        assert out(bad) == "outliers: 3 failures in a row"
        for _ in range(4):
            await ask(cluster)
        assert backends[1].requests == 3


async def test_after_a_while_it_is_in_again() -> None:
    """What was taken out gets requests when its time is over, and keeps them where it answers."""
    async with service(3, SHORTLY) as (cluster, backends):
        bad = cluster.upstream.endpoints[1]
        backends[1].status = 500
        for _ in range(9):
            await ask(cluster)
        assert bad.health.record.ejections > 0
        backends[1].status, asked = 200, backends[1].requests

        async def asked_again() -> None:
            while backends[1].requests == asked:
                await ask(cluster)

        await asyncio.wait_for(asked_again(), 30)
        assert out(bad) == ""


async def test_a_success_begins_the_row_anew() -> None:
    """Two failures, a success and two failures are no three in a row; a 404 is a success."""
    async with service(2) as (cluster, backends):
        for status in (500, 500, 404, 500, 500, 200, 503, 503):
            backends[0].status = status
            for _ in range(2):
                await ask(cluster)
        assert out(cluster.upstream.endpoints[0]) == ""


async def test_who_cannot_be_reached() -> None:
    """Failures to connect count, also where another endpoint answers the request."""
    async with service(1) as (_, backends):
        cluster = cluster_of([free_port(), backends[0].port])
        for _ in range(6):
            assert (await ask(cluster)).attempts[-1].status == 200
        assert out(cluster.upstream.endpoints[0]) == "outliers: 3 failures in a row"


async def test_never_the_last() -> None:
    """One endpoint alone is never taken out, and neither is the last of which nothing is wrong otherwise."""
    async with service(2, replace(THREE, max_ejected=100)) as (cluster, backends):
        upstream = cluster.upstream
        backends[0].status = backends[1].status = 500
        upstream.report(upstream.endpoints[0], Signal.FEEDBACK, up=False, reason="a test", now=time.perf_counter())
        for _ in range(10):
            await ask(cluster)
        assert out(upstream.endpoints[1]) == ""


async def test_what_a_client_gives_up_is_no_failure() -> None:
    """Requests whose client goes away say nothing of the endpoint."""
    async with service(2) as (cluster, backends):
        backends[0].hangs = True
        for _ in range(10):
            task = asyncio.create_task(ask(cluster))
            await asyncio.sleep(0.01)
            task.cancel()
        assert out(cluster.upstream.endpoints[0]) == ""


async def test_off() -> None:
    """Without outlier detection nothing becomes of failures; a reload that turns it off takes everybody in."""
    async with service(2) as (cluster, backends):
        backends[0].status = 500
        for _ in range(6):
            await ask(cluster)
        assert out(cluster.upstream.endpoints[0])
        cluster.upstream.configure(replace(cluster.upstream.settings, outliers=None))
        for _ in range(20):
            await ask(cluster)
        assert out(cluster.upstream.endpoints[0]) == ""
        assert backends[0].requests > 10


async def test_a_black_hole() -> None:
    """An endpoint that never answers is found out while requests wait for it, and they are answered elsewhere."""
    async with service(2) as (cluster, backends):
        backends[1].hangs = True
        held = [asyncio.create_task(ask(cluster)) for _ in range(6)]
        while not out(cluster.upstream.endpoints[1]) and len(held) < 100:
            held.append(asyncio.create_task(ask(cluster)))
            await asyncio.sleep(0.05)
        assert "requests not answered in 1.0 s" in out(cluster.upstream.endpoints[1])
        assert {(await each).attempts[-1].status for each in held} == {200}


async def test_slow_is_not_silent() -> None:
    """Where all endpoints take their time, none of them is taken for a black hole."""
    async with service(2, replace(THREE, interval=10)) as (cluster, backends):
        for backend in backends:
            backend.hangs = True
        held = [asyncio.create_task(ask(cluster)) for _ in range(8)]
        await asyncio.sleep(1.3)
        backends[0].hangs = False
        for _ in range(10):
            held.append(asyncio.create_task(ask(cluster)))
            await asyncio.sleep(0.05)
        assert [out(endpoint) for endpoint in cluster.upstream.endpoints] == ["", ""]
        for task in held:
            task.cancel()


async def test_long_polls_are_no_black_hole() -> None:
    """Where requests have waited for long and were answered, the next ones may wait as long, though others are fast."""
    async with service(2) as (cluster, backends):
        backends[0].delay = backends[1].delay = 1.4
        polls = [asyncio.create_task(ask(cluster)) for _ in range(8)]
        await asyncio.sleep(0)
        while not all(poll.done() for poll in polls):
            cluster.upstream.pick(make_exchange(), time.perf_counter(), ())  # which looks at what waits
            await asyncio.sleep(0.05)
        backends[0].delay = 0.0
        for _ in range(30):
            polls.append(asyncio.create_task(ask(cluster)))
            await asyncio.sleep(0.05)
        assert out(cluster.upstream.endpoints[1]) == ""
        assert {(await each).attempts[0].status for each in polls} == {200}


async def test_what_clients_give_up_is_no_answer() -> None:
    """A black hole is found out also while impatient clients leave it."""
    async with service(2) as (cluster, backends):
        backends[1].hangs = True
        held = [asyncio.create_task(ask(cluster)) for _ in range(8)]
        while not out(cluster.upstream.endpoints[1]) and len(held) < 100:
            leaving = asyncio.create_task(ask(cluster))
            held.append(asyncio.create_task(ask(cluster)))
            await asyncio.sleep(0.05)
            leaving.cancel()
        assert "requests not answered" in out(cluster.upstream.endpoints[1])
        assert {(await each).attempts[-1].status for each in held} == {200}


async def test_a_return_within_the_ejection() -> None:
    """An endpoint that leaves its service while it is ejected, and comes back, is still out."""
    async with service(3) as (cluster, backends):
        upstream = cluster.upstream
        backends[0].status = 500
        for _ in range(9):
            await ask(cluster)
        members = upstream.members
        upstream.replace(members[1:])
        upstream.replace(members)
        assert out(upstream.endpoints[0]) == "outliers: 3 failures in a row"
        assert upstream.endpoints[0].health.record.ejections == 1


async def test_active_checks_end_an_ejection() -> None:
    """An endpoint that passes its active checks while it is ejected is in again before its time."""
    async with service(2) as (cluster, backends):
        backends[0].status = 500
        for _ in range(6):
            await ask(cluster)
        assert out(cluster.upstream.endpoints[0])
        prober = Prober(cluster.upstream, Check("/health", interval=0.05, healthy_after=2), ProbeTurns())
        await prober.start()
        await eventually(lambda: out(cluster.upstream.endpoints[0]) == "")
        prober.retire()


@pytest.mark.parametrize("count", [5, 6])
async def test_success_rate(count: int) -> None:
    """One that fails half of its requests among five is out after an interval, though never three in a row."""
    settings = replace(THREE, success_rate_requests=10, interval=2)
    async with service(count, settings) as (cluster, backends):
        end = time.perf_counter() + 30
        while not out(cluster.upstream.endpoints[0]) and time.perf_counter() < end:
            backends[0].status = 500 if backends[0].status == 200 else 200
            for _ in range(count):
                await ask(cluster)
        assert out(cluster.upstream.endpoints[0]).startswith("outliers: success rate")
        assert [out(each) for each in cluster.upstream.endpoints[1:]] == [""] * (count - 1)


async def test_the_last_resort() -> None:
    """Where all that are in cannot be reached, a request goes to one that was ejected before it fails."""
    async with service(1) as (_, backends):
        cluster = cluster_of([backends[0].port, free_port()])
        backends[0].status = 500
        while not out(cluster.upstream.endpoints[0]):
            await ask(cluster)
        backends[0].status = 200
        assert [each.status for each in (await ask(cluster)).attempts] == [0, 200]


async def test_one_of_many_is_left_out_and_comes_back() -> None:
    """Of hundreds of endpoints, which are looked at in steps, one that fails is left out until its time is over."""
    settings = OutlierSettings(consecutive=3, interval=0.05, base_ejection=0.3)
    members = [Member(Address(f"10.0.{number // 250}.{number % 250}", 80)) for number in range(600)]
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    upstream = Upstream("s", connector, Settings(BALANCERS["random"], outliers=settings), members)
    bad = upstream.endpoints[0]

    def is_out() -> bool:
        assert upstream.pick(make_exchange(), time.perf_counter(), ()) is not None
        return bad.out

    while not is_out():  # for a moment only
        if not bad.health.record.ejected:  # yet, or any more: its time may be over before anyone has looked
            for _ in range(3):
                attempt = bad.begin(time.perf_counter())
                attempt.failure = ErrorKind.UPSTREAM_RESET
                attempt.end()
        await asyncio.sleep(0)
    await eventually(lambda: not is_out())
