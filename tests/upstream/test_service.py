"""One service: its endpoints are replaced as a whole, and all routes to it take turns together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from gateway.algorithms.outlier_detection import OutlierSettings
from gateway.balancing.least_request import LeastRequest
from gateway.balancing.table import BALANCERS
from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body
from gateway.http.testing import make_exchange
from gateway.upstream.cluster import Cluster
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Signal
from gateway.upstream.member import Address, Member
from gateway.upstream.request import Timeouts
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.tls import EndpointTls, TlsSettings
from gateway.upstream.transport import Connector, Resolver
from tests.lifecycle.support import admin_url
from tests.support import eventually, running_gateway, scripted_backend
from tests.upstream.wire import Script, always, read_message

A, B, C = (Address(f"10.0.0.{number}", 80) for number in (1, 2, 3))


def upstream_of(*members: Member | Address, balance: str = "round_robin") -> Upstream:
    listed = [Member(each) if isinstance(each, Address) else each for each in members]
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    return Upstream("s", connector, Settings(BALANCERS[balance]), listed)


def picked(upstream: Upstream) -> Endpoint | None:
    return upstream.pick(make_exchange(), time.perf_counter(), ())


def shares(upstream: Upstream, picks: int) -> dict[str, int]:
    return Counter(endpoint.address.host for _ in range(picks) if (endpoint := picked(upstream)))


@contextlib.asynccontextmanager
async def named_backends(*names: str) -> AsyncIterator[list[int]]:
    """Backends that answer with their names."""
    async with contextlib.AsyncExitStack() as opened:
        answers = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name.encode()) for name in names]
        yield [await opened.enter_async_context(scripted_backend(always(answer))) for answer in answers]


async def test_endpoints_are_kept_by_address() -> None:
    """A new set keeps the endpoints that it has in common with the old one, with their counters and connections."""
    upstream = upstream_of(A, B)
    first, second = upstream.endpoints
    upstream.replace([Member(B), Member(C, 2)])
    assert upstream.endpoints[0] is second
    assert [endpoint.address for endpoint in upstream.endpoints] == [B, C]
    assert first not in upstream.endpoints
    assert shares(upstream, 6) == {B.host: 2, C.host: 4}


async def test_an_endpoint_that_comes_back_is_the_same() -> None:
    """One that is dropped and listed again while a request is in flight counts that request against its limits."""
    upstream = upstream_of(A, B)
    (busy, idle) = upstream.endpoints
    busy.in_flight += 1
    upstream.replace([])
    assert picked(upstream) is None
    upstream.replace([Member(A), Member(B)])
    assert upstream.endpoints[0] is busy
    assert upstream.endpoints[1] is not idle


async def test_an_address_that_is_listed_twice_is_one_endpoint() -> None:
    """Its weights add up, and what is tried once is not tried again for the same request."""
    upstream = upstream_of(Member(A, 2), B, Member(A, 1))
    assert [endpoint.address for endpoint in upstream.endpoints] == [A, B]
    assert shares(upstream, 8) == {A.host: 6, B.host: 2}


def report(upstream: Upstream, address: Address, *, up: bool, seconds: float = 300.0) -> None:
    """A probe's verdict, which ends after a time."""
    (endpoint,) = (each for each in upstream.endpoints if each.address == address)
    now = time.perf_counter()
    upstream.report(endpoint, Signal.PROBE, up=up, reason="a test", now=now, until=now + seconds)


async def test_an_endpoint_that_is_down_gets_no_requests() -> None:
    """Until it is up again, also where the set is replaced meanwhile."""
    upstream = upstream_of(A, B)
    report(upstream, A, up=False)
    upstream.replace([Member(A), Member(B), Member(C)])
    assert shares(upstream, 4) == {B.host: 2, C.host: 2}
    report(upstream, A, up=True)
    assert shares(upstream, 3) == {A.host: 1, B.host: 1, C.host: 1}


async def test_what_is_wrong_with_an_endpoint_is_remembered() -> None:
    """An endpoint that is down, leaves the set and comes back soon is still down, until the verdict ends."""
    upstream = upstream_of(A, B)
    report(upstream, A, up=False, seconds=2)
    upstream.replace([Member(B)])
    upstream.replace([Member(A), Member(B)])
    assert shares(upstream, 2) == {B.host: 2}
    await eventually(lambda: shares(upstream, 2) == {A.host: 1, B.host: 1})


async def test_what_the_source_says_is_true_until_it_says_otherwise() -> None:
    """An instance that its source calls failing gets no requests until the source calls it passing."""
    upstream = upstream_of(Member(A, up=False, reason="its source says failing"), B)
    assert shares(upstream, 2) == {B.host: 2}
    upstream.replace([Member(A), Member(B)])
    assert shares(upstream, 2) == {A.host: 1, B.host: 1}


async def test_what_the_source_says_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each change, as of every other signal; none where the source only says the same again."""
    upstream = upstream_of(A, B)
    with caplog.at_level(logging.INFO, "gateway.upstream"):
        for members in (
            [Member(A, late=True), Member(B)],
            [Member(A, 2, late=True), Member(B, up=False, reason="its check 'disk' is critical")],
            [Member(A), Member(B, 2)],
        ):
            upstream.replace(members)
    assert caplog.messages == [
        "s: 10.0.0.1:80 is down (heartbeat): its heartbeat is late",
        "s: 10.0.0.2:80 is down (source): its check 'disk' is critical",
        "s: 10.0.0.1:80 is up (heartbeat): its heartbeat is in time",
        "s: 10.0.0.2:80 is up (source): its source says passing",
    ]
    warning, info = logging.WARNING, logging.INFO
    assert [record.levelno for record in caplog.records] == [warning, warning, info, info]  # an outage is no news only


async def test_a_late_heartbeat_is_a_signal_of_its_own() -> None:
    """An instance that is late gets no requests, for that reason, until it is heard of again."""
    upstream = upstream_of(A, B)
    upstream.replace([Member(A, late=True), Member(B)])
    assert shares(upstream, 2) == {B.host: 2}
    signal, verdict = upstream.endpoints[0].health.out(time.perf_counter()) or (None, None)
    assert (signal, verdict and verdict.reason) == (Signal.HEARTBEAT, "its heartbeat is late")
    upstream.replace([Member(A), Member(B)])
    assert shares(upstream, 2) == {A.host: 1, B.host: 1}


async def test_priorities() -> None:
    """Endpoints of a higher number are for when none of a lower one is up."""
    upstream = upstream_of(Member(A), Member(B, priority=1), Member(C, priority=1))
    assert shares(upstream, 2) == {A.host: 2}
    report(upstream, A, up=False)
    assert shares(upstream, 2) == {B.host: 1, C.host: 1}


async def test_weight_zero_drains(tmp_path: Path) -> None:
    """An endpoint of weight 0 gets no new requests; where no other is left, the client learns that there is none."""
    async with named_backends("one", "two") as (one, two):
        routes = f"""
        services:
          draining: {{endpoints: [{{address: '127.0.0.1:{one}', weight: 0}}, '127.0.0.1:{two}']}}
          drained: {{endpoints: [{{address: '127.0.0.1:{one}', weight: 0}}]}}
        routes:
        - {{path: /draining, target: draining}}
        - {{path: /drained, target: drained}}
        """
        with running_gateway(tmp_path, routes) as gateway:
            async with httpx2.AsyncClient(base_url=gateway.url) as client:
                assert {(await client.get("/draining")).text for _ in range(4)} == {"two"}
                assert (await client.get("/drained")).status_code == 503


async def test_routes_to_one_service_take_turns_together(tmp_path: Path) -> None:
    """Two routes that lead to one service share its balancer, and a reload does not begin its round anew."""
    async with named_backends("one", "two", "three") as (one, two, three):
        endpoints = f"['127.0.0.1:{one}', '127.0.0.1:{two}', '127.0.0.1:{three}']"
        services = f"services: {{s: {{balance: round_robin, endpoints: {endpoints}}}}}\n"
        routes = "routes: [{path: /a, target: s}, {path: /b, target: s}%s]\n"
        with running_gateway(tmp_path, services + routes % "") as gateway:
            async with httpx2.AsyncClient(base_url=gateway.url) as client:
                answers = [(await client.get(path)).text for path in ("/a", "/b", "/a", "/b")]
                gateway.write(services + routes % ", {path: /c, target: s}")
                reloaded = await client.post(admin_url(gateway, "/reload"), headers=gateway.admin_token)
                assert reloaded.status_code == 200
                answers += [(await client.get(path)).text for path in ("/c", "/a")]
    assert answers == ["one", "two", "three", "one", "two", "three"]


async def test_endpoints_replaced_under_load() -> None:
    """While endpoints come and go, every request is answered, and what has gone holds no connection."""
    async with named_backends("one", "two", "three") as ports:
        addresses = [Address("127.0.0.1", port) for port in ports]
        upstream = upstream_of(*addresses[:1])
        cluster = Cluster("s", upstream, Timeouts())
        seen: set[Endpoint] = set()
        answers: Counter[bytes] = Counter()

        async def ask() -> None:
            response = await cluster(make_exchange())
            assert isinstance(response.body, bytes)
            answers[response.body] += 1

        for turn in range(60):
            asking = [asyncio.create_task(ask()) for _ in range(5)]
            await asyncio.sleep(0)
            upstream.replace([Member(address) for address in addresses[turn % 3 : turn % 3 + 2]])
            seen |= set(upstream.endpoints)
            await asyncio.gather(*asking)
        assert sum(answers.values()) == 300
        assert len(answers) == 3
        upstream.replace([])
        await eventually(lambda: all(endpoint.connections.open_and_idle == (0, 0) for endpoint in seen))


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain"])
async def test_event_streams_may_be_silent(kind: str) -> None:
    """An event stream is exempt from the idle time-out that ends every other response that pauses for too long."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\n\r\n".encode())
        if kind == "text/plain":
            await reader.read()  # until the gateway has given it up: it may come to look late
        await asyncio.sleep(0.5)
        writer.write(b"data: x\n\n")

    async with streaming(script, Timeouts(idle=0.15)) as body:
        if kind == "text/plain":
            with pytest.raises(GatewayError, match=r"nothing more of its response for 0\.15 s") as late:
                await body.read()
            assert late.value.kind is ErrorKind.UPSTREAM_TIMEOUT
        else:
            assert await body.read() == b"data: x\n\n"
    assert Timeouts().event_stream_idle == NEVER


@contextlib.asynccontextmanager
async def streaming(script: Script, timeouts: Timeouts) -> AsyncIterator[Body]:
    """The body of a response on its way."""
    async with scripted_backend(script) as port:
        exchange = make_exchange()
        response = await Cluster("s", upstream_of(Address("127.0.0.1", port)), timeouts)(exchange)
        assert not isinstance(response.body, bytes)
        yield response.body
        exchange.close()


async def test_thousands_of_endpoints_are_replaced_in_steps() -> None:
    """Between two of them requests find a whole set, the former or the new one; a later replacement wins."""
    members = [Member(Address(f"10.{number // 250}.0.{number % 250}", 80)) for number in range(2000)]
    upstream = upstream_of(*members)
    first = upstream.replacing([Member(A), *members[1:]])
    sizes = set()
    for _ in range(4):
        next(first)
        sizes.add(len(upstream.endpoints))
    assert sizes == {2000}
    second = upstream.replacing([Member(B), *members[1:]])
    assert len(list(second)) > 8
    assert not [None for _ in first if upstream.endpoints[0].address != B]
    assert {endpoint.address for endpoint in upstream.endpoints} == {B, *(member.address for member in members[1:])}
    assert upstream.replaced == 2
    upstream.replace([Member(B), *(Member(member.address) for member in members[1:])])
    assert upstream.replaced == 2


def many(network: int) -> list[Member]:
    return [Member(Address(f"10.{network}.{number // 250}.{number % 250}", 80)) for number in range(3000)]


async def test_requests_go_on_while_thousands_of_endpoints_are_looked_at() -> None:
    """For some turns of the loop they go by what was known before, but never to an endpoint that has left."""
    upstream, fresh = upstream_of(*many(1), balance="random"), many(2)[:1000]
    upstream.replace([*many(1)[300:], *fresh])
    joined = {member.address for member in fresh}
    for _ in range(300):
        endpoint = picked(upstream)
        assert endpoint is not None
        assert upstream.has(endpoint)
        assert endpoint.address not in joined
    turns = 0

    def has_joined() -> bool:
        return any((endpoint := picked(upstream)) and endpoint.address in joined for _ in range(1001))

    while not has_joined():
        turns += 1
        assert turns < 10_000
        await asyncio.sleep(0)
    assert turns > 3


async def test_where_thousands_have_all_left_no_request_waits_for_the_new_ones() -> None:
    """The first set, and one that has nothing in common with the last, are used by the very next request."""
    upstream = upstream_of()
    for network in (1, 2, 3):
        upstream.replace(many(network))
        endpoint = picked(upstream)
        assert endpoint is not None
        assert upstream.has(endpoint)
    upstream.replace([])
    assert picked(upstream) is None


async def test_one_of_thousands_that_is_down() -> None:
    """It gets no requests some turns of the loop later, also where the balancer becomes another one meanwhile."""
    upstream = upstream_of(*many(1))
    report(upstream, many(1)[5].address, up=False)
    assert picked(upstream) is not None
    upstream.configure(Settings(BALANCERS["least_request"]))

    def considered() -> list[tuple[int, type]]:
        return [(len(level.weighted), type(by)) for level, by in upstream.chosen_from(time.perf_counter())]

    await eventually(lambda: considered() == [(2999, LeastRequest)])


async def test_discovered_endpoints_have_the_discovered_name() -> None:
    """In Host and in TLS, unless the service says which name the certificate has."""
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    found = []
    for tls in (TlsSettings(), TlsSettings(server_name="other.test")):
        settings = Settings(BALANCERS["round_robin"], tls=tls)
        members = [Member(Address("10.0.0.1", 443))]
        upstream = Upstream("s", connector, settings, members, "orders.test", tls=EndpointTls(tls.context()))
        found += [(endpoint.authority, endpoint.connections.server_name) for endpoint in upstream.endpoints]
    assert found == [(b"orders.test", "orders.test"), (b"orders.test", "other.test")]


async def test_nothing_is_left_of_a_service_that_has_gone() -> None:
    """Also where nobody looks for garbage in cycles, as behind a reload."""
    gc.collect()
    gc.disable()
    try:
        for number in range(10):
            upstream = upstream_of(*(Address(f"gone-{number}-{each}", 80) for each in range(3)))
            endpoint = picked(upstream)
            assert endpoint is not None
            attempt = endpoint.begin(time.perf_counter())
            attempt.failure = ErrorKind.UPSTREAM_RESET
            attempt.end()
            upstream.configure(Settings(BALANCERS["least_request"], outliers=OutlierSettings()))
            assert picked(upstream) is not None
            upstream.retire()
        del upstream, endpoint, attempt
        left = [thing for thing in gc.get_objects() if isinstance(thing, Endpoint) and thing.label.startswith("gone-")]
    finally:
        gc.enable()
    assert left == []


async def test_nothing_is_left_of_endpoints_that_have_gone() -> None:
    """After a thousand changes there are as many as the last set has."""
    upstream = upstream_of()
    for number in range(1000):
        upstream.replace([Member(Address(f"churn-{number}-{last}", 80)) for last in range(5)])
        assert picked(upstream) is not None
    gc.collect()
    left = [thing for thing in gc.get_objects() if isinstance(thing, Endpoint) and thing.label.startswith("churn-")]
    assert len(left) == 5
