"""What balancers learn of attempts: a failure looks like a request that is still in flight, and like a slow answer."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.errors import GatewayError
from gateway.http.testing import make_exchange
from gateway.upstream.cluster import Cluster
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.member import Address, Member
from gateway.upstream.request import Timeouts
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver
from tests.support import free_port, scripted_backend
from tests.upstream.wire import always


def cluster_of(port: int) -> Cluster:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    members = [Member(Address("127.0.0.1", port))]
    return Cluster("s", Upstream("s", connector, Settings(BALANCERS["peak_ewma"]), members), Timeouts())


async def after(status: str, line: str = "X: y") -> tuple[Endpoint, float]:
    """An endpoint that has answered one request like this, and when: what it failed is forgotten from then on."""
    answer = f"HTTP/1.1 {status}\r\n{line}\r\nContent-Length: 0\r\n\r\n".encode()
    async with scripted_backend(always(answer)) as port:
        for _ in range(20):
            cluster, began = cluster_of(port), time.perf_counter()
            await cluster(make_exchange())
            answered = time.perf_counter()
            if answered - began < 0.05:  # or it is not known well enough when that was
                break
        return cluster.upstream.endpoints[0], answered


def loads(endpoint: Endpoint, at: float, *seconds: float) -> list[float]:
    """Its load so many seconds after `at`."""
    return [endpoint.load(at + each) for each in seconds]


@pytest.mark.parametrize("status", ["429 No", "500 No", "503 No"])
async def test_a_fast_failure_looks_like_a_slow_request(status: str) -> None:
    """It counts as a request in flight and as an answer of five seconds, and is forgotten within half a minute."""
    endpoint, at = await after(status)
    assert endpoint.ewma is not None
    assert endpoint.ewma.cost(at) == pytest.approx(5, rel=0.05)
    assert loads(endpoint, at, 0, 5, 30) == pytest.approx([1, 0.37, 0], abs=0.02)


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "304 Not Modified"])
async def test_an_answer_does_not(status: str) -> None:
    """Whatever it says, an answer that is no failure of the endpoint counts for as long as it took."""
    endpoint, at = await after(status)
    assert endpoint.ewma is not None
    assert 0 < endpoint.ewma.cost(at) < 1
    assert loads(endpoint, at, 0) == [0]


@pytest.mark.parametrize(
    ("line", "after_a_minute"), [("Retry-After: 60", 0.37), ("Retry-After: 86400", 0.82), ("Retry-After: soon", 0)]
)
async def test_retry_after_is_heeded(line: str, after_a_minute: float) -> None:
    """A refusal that says for how long counts for so long, five minutes at most."""
    assert loads(*await after("503 No", line), 60) == pytest.approx([after_a_minute], abs=0.02)


async def test_one_that_is_not_reached_has_failed() -> None:
    """A refused connection is a failure, too."""
    cluster = cluster_of(free_port())
    with pytest.raises(GatewayError):
        await cluster(make_exchange())
    assert loads(cluster.upstream.endpoints[0], time.perf_counter(), 0)[0] > 0.9


async def test_a_client_that_goes_away_is_no_failure() -> None:
    """What clients do says nothing of the endpoint."""

    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()

    async with scripted_backend(silent) as port:
        cluster = cluster_of(port)
        asking = asyncio.ensure_future(cluster(make_exchange()))
        (endpoint,) = cluster.upstream.endpoints
        await arrived.wait()
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        assert loads(endpoint, time.perf_counter(), 0) == [0]


async def test_one_that_leaves_and_comes_back_is_known() -> None:
    """What an endpoint has failed, and how long it takes, is still true when it is listed again."""
    async with scripted_backend(always(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as port:
        cluster = cluster_of(port)
        await cluster(make_exchange())
        at = time.perf_counter()
        members = cluster.upstream.members
        cluster.upstream.replace([])
        cluster.upstream.replace(members)
        (endpoint,) = cluster.upstream.endpoints
        assert loads(endpoint, at, 0)[0] > 0.9
        assert endpoint.ewma is not None
        assert endpoint.ewma.cost(at) > 4
