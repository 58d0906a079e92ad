"""Instances that a real name server knows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.outside.names import Found, NameServers
from gateway.registry.discovery import Caution, Discovery
from gateway.registry.dns import BOTH, DnsSource, Ttl, _weighted
from tests.lifecycle.support import admin_url
from tests.registry.knot import Knot, running_knot
from tests.registry.support import shows
from tests.support import eventually, running_gateway, scripted_backend
from tests.upstream.test_service import upstream_of
from tests.upstream.wire import read_message

SECONDS = 40.0


@pytest.fixture
def knot(tmp_path: Path) -> Iterator[Knot]:
    """A name server for one test."""
    with running_knot(tmp_path) as server:
        yield server


@contextlib.asynccontextmanager
async def discovered(knot: Knot, name: str, *, srv: bool = False, ttl: Ttl | None = None) -> AsyncIterator[Discovery]:
    """A service whose instances have this name."""
    source = DnsSource(name, None if srv else 80, NameServers((knot.address,)), BOTH, ttl, hold=3)
    discovery = Discovery(upstream_of(), source, Caution(hold_empty=0))
    await discovery.start()
    try:
        yield discovery
    finally:
        await discovery.stop()


def hosts(discovery: Discovery) -> set[str]:
    return {endpoint.address.host for endpoint in discovery.upstream.endpoints}


async def is_found(discovery: Discovery, *expected: str) -> None:
    await eventually(lambda: hosts(discovery) == set(expected), SECONDS)


async def test_records_change(knot: Knot) -> None:
    """A new address is used when the TTL is over (0 counts as a second), and what three answers lack is gone."""
    await knot.start("orders 0 A 127.0.0.1", "orders 0 A 127.0.0.2")
    async with discovered(knot, "orders.test") as discovery:
        await is_found(discovery, "127.0.0.1", "127.0.0.2")
        first = discovery.upstream.endpoints[0]
        knot.update("add orders.test 0 A 127.0.0.3", "delete orders.test A 127.0.0.2", "add orders.test 0 AAAA ::1")
        await eventually(lambda: {"127.0.0.3", "::1"} < hosts(discovery), SECONDS)
        assert "127.0.0.2" in hosts(discovery)
        await is_found(discovery, "127.0.0.1", "127.0.0.3", "::1")
        assert first in discovery.upstream.endpoints
        changes = discovery.changes
        knot.update("delete orders.test")
        await is_found(discovery)
        assert discovery.changes == changes + 1


async def test_a_longer_ttl_is_cut(knot: Knot) -> None:
    """Answers are used for as long as `ttl` says, also where the name server says longer."""
    await knot.start("orders 600 A 127.0.0.1")
    async with discovered(knot, "orders.test", ttl=Ttl(override=1)) as discovery:
        await is_found(discovery, "127.0.0.1")
        knot.update("add orders.test 600 A 127.0.0.2")
        await is_found(discovery, "127.0.0.1", "127.0.0.2")


def test_how_long_answers_are_used() -> None:
    """At least a second, within the bounds that are set, unless the time itself is."""
    assert [Ttl().of(ttl) for ttl in (0, 30, 1e6)] == [1, 30, 3600]
    assert [Ttl(5, 60).of(ttl) for ttl in (0, 30, 600)] == [5, 30, 60]
    assert [Ttl(5, 60, 7).of(ttl) for ttl in (0, 30, 600)] == [7, 7, 7]


async def test_service_records(knot: Knot) -> None:
    """SRV records say ports, weights and priorities; a target without an address or a port is no instance."""
    await knot.start(
        "_http._tcp.orders SRV 1 10 8080 a.orders",
        "_http._tcp.orders SRV 1 30 8081 a.orders",
        "_http._tcp.orders SRV 2 0 8082 b.orders",
        "_http._tcp.orders SRV 2 0 8083 nowhere.orders",
        "_http._tcp.orders SRV 2 0 0 b.orders",
        "a.orders A 127.0.0.1",
        "b.orders A 127.0.0.2",
        "b.orders AAAA ::1",
    )
    async with discovered(knot, "_http._tcp.orders.test", srv=True) as discovery:
        await eventually(lambda: len(discovery.upstream.endpoints) == 4, SECONDS)
        found = {(str(member.address), member.weight, member.priority) for member in discovery.upstream.members}
        assert found == {
            ("127.0.0.1:8080", 10, 1),
            ("127.0.0.1:8081", 30, 1),
            ("127.0.0.2:8082", 1, 2),
            ("[::1]:8082", 1, 2),
        }


def test_weight_zero_beside_others() -> None:
    """A record with weight 0 gets a very small share where others have more, and its equal share where none has."""
    records = [Found("a", 1, 80, 1, 0), Found("b", 1, 80, 1, 2), Found("c", 1, 80, 2, 0), Found("d", 1, 80, 3, 5)]
    assert [member.weight for _, member in _weighted(records)] == [1, 200, 1, 5]


async def test_a_name_server_that_fails_takes_nothing_away(knot: Knot) -> None:
    """Unreachable or with SERVFAIL: the last instances stay, and are said to be stale; a changed set is taken up."""
    await knot.start("orders A 127.0.0.1")
    async with discovered(knot, "orders.test") as discovery:
        await is_found(discovery, "127.0.0.1")
        knot.stop()
        await eventually(lambda: "cannot be reached" in "".join(discovery.troubles()), SECONDS)
        await knot.start("broken (")
        await eventually(lambda: "answers SERVFAIL" in "".join(discovery.troubles()), SECONDS)
        assert hosts(discovery) == {"127.0.0.1"}
        knot.stop()
        await knot.start("orders A 127.0.0.2")
        await eventually(lambda: "127.0.0.2" in hosts(discovery), SECONDS)
        assert not list(discovery.troubles())


async def test_a_name_server_that_refuses(knot: Knot) -> None:
    """A name that the server has nothing to do with is said to be refused."""
    await knot.start()
    async with discovered(knot, "orders.example") as discovery:
        await eventually(lambda: "refuses to answer (orders.example, A" in "".join(discovery.troubles()), SECONDS)


async def test_discovered_endpoints_are_asked_by_the_discovered_name(knot: Knot, tmp_path: Path) -> None:
    """Host is the name that was looked up, or that of the client where the route says so."""
    asked: list[str] = []

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await read_message(reader)).fields["host"])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")

    async with scripted_backend(backend) as port:
        await knot.start("orders A 127.0.0.1", f"_http._tcp.jobs SRV 1 1 {port} orders")
        routes = f"""
        services:
          orders: {{discovery: {{dns: orders.test, port: {port}, server: {knot.address}}}}}
          jobs: {{discovery: {{dns: _http._tcp.jobs.test, type: SRV, server: {knot.address}}}}}
        routes:
        - {{path: /orders, target: orders}}
        - {{path: /jobs, target: jobs}}
        - {{path: /kept, target: orders, preserve_host: true}}
        """
        with running_gateway(tmp_path, routes) as gateway:
            await shows(f"{gateway.url}/orders", "yes")
            await shows(f"{gateway.url}/jobs", "yes")
            await shows(f"{gateway.url}/kept", "yes")
            knot.stop()
            await shows(admin_url(gateway, "/health"), "cannot be reached", gateway.admin_token)
            await shows(f"{gateway.url}/orders", "yes")
    assert asked == [f"orders.test:{port}", f"jobs.test:{port}", f"127.0.0.1:{gateway.port}", f"orders.test:{port}"]
