"""What metrics tell of endpoints."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.monitor.endpoint_metrics import ENDPOINTS, endpoint_metrics
from gateway.upstream.health import Signal
from gateway.upstream.member import Address, Member
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver


def upstream_of(count: int, name: str = "shop") -> Upstream:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    members = [Member(Address("10.0.0.1", 1 + number)) for number in range(count)]
    return Upstream(name, connector, Settings(BALANCERS["round_robin"]), members)


def lines(*upstreams: Upstream) -> set[str]:
    class All(Collector):
        def collect(self):  # type: ignore[no-untyped-def]
            return endpoint_metrics(upstreams)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(All())
    return {line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")}


async def test_each_endpoint_until_it_goes() -> None:
    """An endpoint has its numbers by service and address, and none once it has left."""
    upstream = upstream_of(2)
    upstream.report(upstream.endpoints[1], Signal.PROBE, up=False, reason="a test", now=time.perf_counter())
    found = lines(upstream)
    assert 'gateway_endpoint_in{endpoint="10.0.0.1:1",service="shop"} 1.0' in found
    assert 'gateway_endpoint_in{endpoint="10.0.0.1:2",service="shop"} 0.0' in found
    assert 'gateway_service_endpoints{service="shop",state="out"} 1.0' in found
    upstream.replace(upstream.members[:1])
    assert not any("10.0.0.1:2" in line for line in lines(upstream))


@pytest.mark.parametrize(("count", "shown"), [(ENDPOINTS, ENDPOINTS), (ENDPOINTS + 1, 1)])
async def test_they_are_bounded(count: int, shown: int) -> None:
    """With very many endpoints only those that are out have series of their own."""
    upstream = upstream_of(count)
    upstream.report(upstream.endpoints[7], Signal.PROBE, up=False, reason="a test", now=time.perf_counter())
    assert sum(line.startswith("gateway_endpoint_in{") for line in lines(upstream)) == shown
