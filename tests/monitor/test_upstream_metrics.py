"""What metrics tell of upstreams and endpoints."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.errors import ErrorKind
from gateway.families import Labels, Value
from gateway.monitor.upstream_metrics import ENDPOINTS, upstream_metrics
from gateway.upstream.health import Signal
from gateway.upstream.member import Address, Member
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver


def upstream_of(count: int, name: str = "shop") -> Upstream:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    members = [Member(Address("10.0.0.1", 1 + number)) for number in range(count)]
    return Upstream(name, connector, Settings(BALANCERS["round_robin"]), members)


def measured(*upstreams: Upstream) -> dict[tuple[str, Labels], Value]:
    return {
        (family.name, sample.labels): sample.value
        for family in upstream_metrics(upstreams)
        for sample in family.samples
        if sample is not None
    }


async def test_each_endpoint_until_it_goes() -> None:
    """An endpoint has its numbers by upstream and address, and none once it has left; what it had stays counted."""
    upstream = upstream_of(2)
    upstream.report(upstream.endpoints[1], Signal.PROBE, up=False, reason="a test", now=time.perf_counter())
    attempt = upstream.endpoints[1].begin(time.perf_counter())
    attempt.failure = ErrorKind.UPSTREAM_RESET
    attempt.end()
    found = measured(upstream)
    assert found["gateway_endpoint_in", ("shop", "10.0.0.1:1")] == 1
    assert found["gateway_endpoint_in", ("shop", "10.0.0.1:2")] == 0
    assert found["gateway_upstream_endpoints", ("shop", "out")] == 1
    assert found["http_client_open_connections", ("shop", "idle")] == 0
    assert found["gateway_pool_size", ("shop",)] == 2 * 512
    upstream.replace(upstream.members[:1])
    found = measured(upstream)
    assert not any("10.0.0.1:2" in labels for _, labels in found)
    assert found["gateway_upstream_attempts_total", ("shop",)] == 1
    assert found["gateway_upstream_failures_total", ("shop",)] == 1


async def test_ways_to_one_address_are_one() -> None:
    """An address that is asked with and without TLS has one series, of both together."""
    found = measured(upstream_of(1), upstream_of(2))
    assert found["gateway_upstream_endpoints", ("shop", "in")] == 3
    assert ("gateway_upstream_certificate_expiry_timestamp_seconds", ("shop",)) not in found


@pytest.mark.parametrize(("count", "shown"), [(ENDPOINTS, ENDPOINTS), (ENDPOINTS + 1, 1)])
async def test_they_are_bounded(count: int, shown: int) -> None:
    """With very many endpoints only those that are out have series of their own."""
    upstream = upstream_of(count)
    upstream.report(upstream.endpoints[7], Signal.PROBE, up=False, reason="a test", now=time.perf_counter())
    assert sum(name == "gateway_endpoint_in" for name, _ in measured(upstream)) == shown
