"""What becomes of an endpoint that the monitor sees standing out: by a real gateway and real backends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest

from gateway.bus.memory import MemoryBus
from gateway.events import HealthFeedback
from gateway.monitor.traffic import Traffic
from gateway.monitor.watch import Monitor
from gateway.monitor.windows import FINE
from gateway.registry import feedback
from gateway.registry.feedback import FeedbackListener
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Signal
from gateway.upstream.service import Upstream
from tests.monitor.test_watch import BEGAN
from tests.resilience.support import Backend, InProcess, backend, response, running
from tests.support import eventually
from tests.upstream.wire import Wire

HOLDS = 3.0  # seconds, in place of a minute; long enough for requests meanwhile


@dataclass
class Four:
    """A gateway with four backends, and a monitor of them on a simulated clock."""

    gateway: InProcess
    backends: list[Backend]
    monitor: Monitor
    bus: MemoryBus
    now: float = BEGAN

    @property
    def upstream(self) -> Upstream:
        (upstream,) = self.gateway.reloader.owner.all(Upstream)
        return upstream

    @property
    def first(self) -> Endpoint:
        return self.upstream.endpoints[0]

    @property
    def out(self) -> bool:
        """Whether the first gets no requests, for what the monitor says."""
        return self.first.health.verdict(Signal.FEEDBACK, asyncio.get_running_loop().time()) is not None

    async def serve(self, requests: int) -> None:
        """Ten seconds in which so many requests come."""
        for _ in range(requests // 20):
            await asyncio.gather(*(self.gateway.get("/") for _ in range(20)))
        self.now += FINE
        await self.monitor.tick(self.now)


@asynccontextmanager
async def four(directory: Path, outliers: str = "{}") -> AsyncIterator[Four]:
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(backend(response(200, b"ok"))) for _ in range(4)]
        endpoints = ", ".join(each.address for each in backends)
        routes = f"services: {{shop: {{endpoints: [{endpoints}], outliers: {outliers}, balance: round_robin}}}}\n"
        gateway = await stack.enter_async_context(running(directory, routes + "routes: [{path: /*, target: shop}]\n"))
        upstreams, bus = partial(gateway.reloader.owner.all, Upstream), MemoryBus()
        listener, monitor = FeedbackListener(bus, upstreams), Monitor(Traffic(), upstreams)
        monitor.send = bus.publish
        await listener.start()
        stack.push_async_callback(bus.stop)
        yield Four(gateway, backends, monitor, bus)


async def _slow(_: Wire) -> bytes:
    await asyncio.sleep(0.1)
    return response(200, b"late")


@pytest.mark.parametrize("trouble", ["fails", "slow"])
async def test_an_endpoint_leaves_and_comes_back(tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of four that fails every second request, or takes a hundred times as long, gets no more requests; when it
    is well again, it is taken back, and stays."""
    monkeypatch.setattr(feedback, "FEEDBACK_SECONDS", HOLDS)
    async with four(tmp_path) as service:
        ill = service.backends[0]
        turns = cycle((response(500), response(200)))

        async def _fails(_: Wire) -> bytes:
            return next(turns)

        ill.answers[:] = [_fails if trouble == "fails" else _slow]
        await service.serve(320)
        await eventually(lambda: service.out)
        asked = len(ill.requests)
        await asyncio.gather(*(service.gateway.get("/") for _ in range(20)))
        assert len(ill.requests) == asked
        ill.answers[:] = [response(200, b"ok")]
        await eventually(lambda: not service.out)
        await service.serve(160)
        assert len(ill.requests) > asked
        for _ in range(3):
            await service.serve(240)
            assert not service.out


async def test_a_service_without_outliers_leaves_no_endpoint_out(tmp_path: Path) -> None:
    """Where `outliers: off` says that what becomes of requests has no consequences, that is so."""
    async with four(tmp_path, "off") as service:
        service.backends[0].answers[:] = [response(500)]
        said: list[HealthFeedback] = []

        async def hear(message: HealthFeedback, _: object) -> None:
            said.append(message)

        service.bus.subscribe(HealthFeedback, hear)
        await service.serve(320)
        await eventually(lambda: len(said) == 1)
        assert said[0].status == "failing"
        assert not service.out


async def test_half_of_the_endpoints_stay(tmp_path: Path) -> None:
    """Whatever monitors say, no more endpoints are out than `max_ejected` lets be, and never the last one."""
    async with four(tmp_path) as service:
        for endpoint in service.upstream.endpoints:
            service.bus.publish(HealthFeedback(service="shop", instance=endpoint.label, status="failing"))
            await service.gateway.get("/")
        endpoints = service.upstream.endpoints
        await eventually(
            lambda: sum(each.health.out(asyncio.get_running_loop().time()) is not None for each in endpoints) == 2
        )
        assert (await service.gateway.get("/")).status_code == 200
