"""How many requests a service has at once, and what is refused when the gateway has too much to do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import cast

from gateway.live import LoopLag
from gateway.monitor.recent_requests import RecentRequests
from gateway.upstream.service import Upstream
from tests.resilience.support import InProcess, backend, response, running
from tests.support import eventually
from tests.upstream.wire import Wire

OK = response(200, b"ok")


async def test_a_fixed_limit(tmp_path: Path) -> None:
    """The third of three requests at once is a 503 of its own kind; when one is over, there is room again."""
    go = asyncio.Event()

    async def held(message: Wire) -> bytes:
        await go.wait()
        return OK

    async with backend(held) as busy:
        files = f"services: {{s: {{endpoints: ['{busy.address}'], concurrency: 2}}}}\nroutes: [{{path: /*, target: s}}]"
        async with running(tmp_path, files) as gateway:
            tasks = [asyncio.create_task(gateway.get()) for _ in range(2)]
            await eventually(lambda: len(busy.requests) == 2)
            refused = await gateway.get()
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:problem-type:gateway:concurrency-limit")
            assert refused.headers["retry-after"] == "1"
            (shown,) = (await gateway.admin.get("/limits")).json()
            assert (shown["in_flight"], shown["limit"], shown["refused"]) == (2, 2, 1)
            tasks[0].cancel()
            await asyncio.wait({tasks[0]})
            go.set()
            assert (await gateway.get()).text == "ok"
            assert (await tasks[1]).text == "ok"
            assert 'gateway_concurrency_refused_total{upstream="s"} 1.0' in gateway.metrics.now("text").decode()


async def test_the_limit_that_refused_is_named(tmp_path: Path) -> None:
    """The last requests say which limit of which service it was: `concurrency`, or that of connections."""
    go = asyncio.Event()

    async def held(message: Wire) -> bytes:
        await go.wait()
        return OK

    async with backend(held) as one, backend(held) as other:
        routes = f"""
services:
  few: {{endpoints: ['{one.address}'], concurrency: 1}}
  narrow: {{endpoints: ['{other.address}'], connections: {{max: 1, pending: 0}}}}
routes: [{{path: /few, target: few}}, {{path: /narrow, target: narrow}}]
"""
        async with running(tmp_path, routes) as gateway:
            tasks = [asyncio.create_task(gateway.get(path)) for path in ("/few", "/narrow")]
            await eventually(lambda: bool(one.requests and other.requests))
            for path, limit in (
                ("/few", "few has 1 request at once, which is its limit: refused it"),
                (
                    "/narrow",
                    f"narrow: {other.address} has 1 connection and 0 requests waiting for one, as many as "
                    "connections.max and connections.pending allow: refused it",
                ),
            ):
                refused = await gateway.get(path)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert refused.json()["title"] == "The service has as many requests as it may have"
                recent = RecentRequests()
                recent.report(*gateway.outcomes[-1])
                assert [each.limits for each in recent] == [[limit]]
            go.set()
            assert [(await task).text for task in tasks] == ["ok", "ok"]


async def test_time_in_the_queue_for_a_connection_is_not_the_endpoints(tmp_path: Path) -> None:
    """It is logged apart, and not part of the time that the endpoint took, there and in its figures."""

    async def slow(message: Wire) -> bytes:
        await asyncio.sleep(0.5)
        return OK

    async with backend(slow, OK) as one:
        services = f"services: {{s: {{endpoints: ['{one.address}'], connections: {{max: 1}}}}}}"
        async with running(tmp_path, f"{services}\nroutes: [{{path: /*, target: s}}]") as gateway:
            first = asyncio.create_task(gateway.get("/first"))
            await eventually(lambda: bool(one.requests))
            await asyncio.gather(first, gateway.get("/second"))
            (attempt,) = next(exchange for exchange, _ in gateway.outcomes if exchange.path == "/second").attempts
            shown = attempt.summary()
            assert 0 <= cast(float, shown["ms"]) < 250 < cast(float, shown["queued_ms"])
            (upstream,) = gateway.reloader.owner.all(Upstream)
            (endpoint,) = upstream.endpoints
            assert endpoint.durations.total < 1.0


async def test_a_limit_that_adapts(tmp_path: Path) -> None:
    """It begins at its minimum, and grows as long as answers come as fast as without load."""
    async with backend(OK) as quick:
        files = f"services: {{s: {{endpoints: ['{quick.address}'], concurrency: {{adaptive: true}}}}}}\n"
        async with running(tmp_path, files + "routes: [{path: /*, target: s}]") as gateway:

            def limit() -> float:
                lines = gateway.metrics.now("text").decode().splitlines()
                return float(next(line for line in lines if "concurrency_limit{" in line).rpartition(" ")[2])

            assert limit() == 3
            async with asyncio.timeout(100):
                while limit() <= 3:
                    assert (await gateway.get()).status_code == 200


def priorities(address: str) -> str:
    named = "".join(
        f"- {{path: /{name}, target: '{address}', priority: {name}}}\n" for name in ("high", "normal", "low")
    )
    return f"routes:\n{named}- {{path: /unset, target: '{address}'}}\n"


async def statuses(gateway: InProcess) -> list[int]:
    found = []
    for name in ("high", "normal", "low", "unset"):
        await gateway.in_time()
        found.append((await gateway.get(f"/{name}")).status_code)
    return found


async def test_priorities(tmp_path: Path) -> None:
    """While the loop is late, what has low priority is refused first; when it is in time again, all is served."""
    async with backend(OK) as backing, running(tmp_path, priorities(backing.address)) as gateway:
        assert await statuses(gateway) == [200] * 4
        (lag,) = gateway.reloader.owner.all(LoopLag)
        time.sleep(0.5)  # noqa: ASYNC251  keeps the loop, as too much work does
        await eventually(lambda: lag.seconds > 0.25)
        refused = await gateway.get("/low")
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:problem-type:gateway:load-shed")
        assert (await gateway.get("/high")).status_code == 200
        assert await statuses(gateway) == [200] * 4
