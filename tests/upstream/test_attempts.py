"""What comes of each attempt is reported once, as a value, and whether another follows is the policy's decision."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace

import pytest

from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange
from gateway.http.messages import Attempt
from gateway.http.testing import make_exchange
from gateway.upstream.cluster import Cluster
from gateway.upstream.endpoint import EndpointCounts
from gateway.upstream.member import Address, Member
from gateway.upstream.request import Timeouts
from gateway.upstream.retry import NOT_REACHED, STALE, Retries, RetrySettings
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver
from tests.support import free_port, scripted_backend
from tests.upstream.wire import OK, always, answering, read_message, reset


def cluster_of(*ports: int, retries: Retries | None = None) -> Cluster:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    members = [Member(Address("127.0.0.1", port)) for port in ports]
    upstream = Upstream("s", connector, Settings(BALANCERS["round_robin"]), members)
    return Cluster("s", upstream, Timeouts(), retries=retries or Retries())


def counts_of(cluster: Cluster) -> list[EndpointCounts]:
    return [endpoint.counts() for endpoint in cluster.upstream.endpoints]


async def asked(cluster: Cluster, **options: str) -> Exchange:
    """An exchange that is over, with whatever came of it."""
    exchange = make_exchange(**options)  # type: ignore[arg-type]
    try:
        response = await cluster(exchange)
        while not isinstance(response.body, bytes) and await response.body.read():
            pass
    except GatewayError as error:
        exchange.error = error
    finally:
        exchange.close()
    return exchange


async def test_an_endpoint_that_is_not_reached() -> None:
    """The next one is tried; the log learns of both, and only the dead one has a failure."""
    async with scripted_backend(always(OK)) as port:
        cluster = cluster_of(free_port(), port)
        exchange = await asked(cluster)
        first, second = exchange.attempts
        assert (first.failure, first.retry, first.status) == (ErrorKind.UPSTREAM_REFUSED, NOT_REACHED, 0)
        assert (second.failure, second.retry, second.status, second.received) == (None, "", 200, 2)
        assert first.seconds is None
        assert second.seconds is not None
        assert second.seconds >= 0
        assert second.endpoint == f"127.0.0.1:{port}"
        assert counts_of(cluster) == [EndpointCounts(1, 1), EndpointCounts(1, 0, 0, 1, 1)]
        assert sum(counts_of(cluster), EndpointCounts()) == EndpointCounts(2, 1, 0, 1, 1)


@pytest.mark.parametrize(("head", "open_ended"), [(b"Content-Length: 2\r\n", False), (b"", True)])
async def test_a_response_that_ends_with_its_connection(head: bytes, open_ended: bool) -> None:
    """It is distinguished from one with a marked end: nothing shows whether it is complete."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + head + b"\r\nok")

    async with scripted_backend(script) as port:
        exchange = await asked(cluster_of(port))
        assert [each.open_ended for each in exchange.attempts] == [open_ended]


async def test_a_connection_that_turned_out_to_be_dead() -> None:
    """The endpoint is asked again on a fresh one, and is not blamed; a request that may not be repeated fails."""
    async with scripted_backend(answering(OK)) as port:
        cluster = cluster_of(port)
        await asked(cluster)
        (endpoint,) = cluster.upstream.endpoints
        dead = endpoint.connections.reuse(time.perf_counter(), once=False)  # taken before the end of it was noticed
        assert dead is not None
        endpoint.connections.released(dead)
        exchange = await asked(cluster)
        assert [(each.reused, each.retry, each.status) for each in exchange.attempts] == [
            (True, STALE, 0),
            (False, "", 200),
        ]
        assert endpoint.failures == 0
        posted = await asked(cluster, method="POST")
        assert [(each.retry, each.failure) for each in posted.attempts] == [("", ErrorKind.UPSTREAM_RESET)]
        assert endpoint.failures == 1


async def test_a_response_that_is_cut_short() -> None:
    """It is a failure of the endpoint, though a status came, and what came of the body is counted."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 10)
        await writer.drain()
        await asyncio.sleep(0.1)
        reset(writer)

    async with scripted_backend(script) as port:
        cluster = cluster_of(port)
        (attempt,) = (await asked(cluster)).attempts
        assert (attempt.status, attempt.received, attempt.failure) == (200, 10, ErrorKind.UPSTREAM_RESET)
        assert counts_of(cluster) == [EndpointCounts(1, 1)]


async def test_a_client_that_goes_away() -> None:
    """Its attempt ends, and counts as no failure."""
    asked_for = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        asked_for.set()
        await reader.read()

    async with scripted_backend(script) as port:
        cluster = cluster_of(port)
        exchange = make_exchange()
        task = asyncio.create_task(asked_with(cluster, exchange))
        await asked_for.wait()
        assert cluster.upstream.endpoints[0].in_flight == 1
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        (attempt,) = exchange.attempts
        assert (attempt.status, attempt.failure) == (0, None)
        assert attempt.summary()["ms"] > 0  # type: ignore[operator]
        (counts,) = counts_of(cluster)
        assert (counts.requests, counts.failures, counts.in_flight) == (1, 0, 0)


async def asked_with(cluster: Cluster, exchange: Exchange) -> None:
    await cluster(exchange)


async def test_an_answer_of_500_is_a_failure_of_the_endpoint() -> None:
    """It is counted among its failures, as by what ejects it; a 404 is not, and both were answered."""
    for status, failures in (("500 No", 1), ("404 Not Found", 0)):
        async with scripted_backend(always(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())) as port:
            cluster = cluster_of(port)
            await asked(cluster)
            (endpoint,) = cluster.upstream.endpoints
            assert (endpoint.counts().failures, endpoint.answered) == (failures, 1)


async def test_a_single_attempt() -> None:
    """A route with one attempt gets the first failure, though another endpoint would answer."""
    async with scripted_backend(always(OK)) as port:
        cluster = cluster_of(free_port(), port, retries=Retries(RetrySettings(1, 1)))
        with pytest.raises(GatewayError) as failed:
            await cluster(make_exchange())
        assert failed.value.kind is ErrorKind.UPSTREAM_REFUSED
        assert counts_of(cluster)[1] == EndpointCounts()


async def test_bytes_of_a_request() -> None:
    """What was sent of a request body is counted."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(OK)

    async with scripted_backend(script) as port:
        exchange = make_exchange("POST", body=b"x" * 1000)
        await cluster_of(port)(exchange)
        exchange.close()
        (attempt,) = exchange.attempts
        assert (attempt.sent, attempt.status) == (1000, 200)


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def ended(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)


async def test_every_attempt_is_reported_once() -> None:
    """What judges endpoints hears of each attempt when it is over: of a stream, once all of it has passed."""
    heard = Heard()
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    go = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(chunked)
        await go.wait()
        writer.write(b"2\r\nde\r\n0\r\n\r\n")

    async with scripted_backend(script) as port:
        cluster = replace(cluster_of(free_port(), port), observers=(heard,))
        exchange = make_exchange()
        response = await cluster(exchange)
        assert not isinstance(response.body, bytes)
        assert [each.retry for each in heard.attempts] == [NOT_REACHED]
        go.set()
        while await response.body.read():
            pass
        response.body.close()
        exchange.close()
        assert [(each.status, each.received) for each in heard.attempts] == [(0, 0), (200, 5)]
        assert heard.attempts == list(exchange.attempts)
