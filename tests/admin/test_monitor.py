"""The monitor in the admin API."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from click.testing import CliRunner
from starlette.applications import Starlette

from gateway.admin.monitor_api import monitor_operations
from gateway.admin.operations import routes_of
from gateway.cli import main
from gateway.live import Owner
from gateway.monitor.traffic import Flow
from gateway.monitor.watch import SERVICE
from gateway.monitor.windows import FINE
from gateway.outside.redis_link import RedisLink
from tests.lifecycle.support import admin_url, get
from tests.monitor.test_readings import serve
from tests.monitor.test_watch import Watched
from tests.support import eventually, running_gateway, until


class Asked(Watched):
    """A monitor that has watched the last seven minutes, and what its API answers."""

    async def served(self, minutes: int) -> None:
        for _ in range(minutes * 6):
            for _ in range(10):
                self._serve("orders", "shop", 0.020)
            self._serve("orders", "shop", 2.0, 503)
            self._serve("users", "accounts", 0.005)
            self.now += FINE
            await self.monitor.tick(self.now)

    def _serve(self, route: str, upstream: str, seconds: float, status: int = 200) -> None:
        flow = self.traffic.flows.setdefault((route, upstream), Flow(route, upstream))
        serve(flow, seconds, status, tenant="acme" if route == "orders" else "")

    async def ask(self, path: str, status: int = 200) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    client: httpx2.AsyncClient
    app: Starlette


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    owner, now = Owner(), time.time()
    asked = Asked(tmp_path, int(now) - int(now) % FINE - 7 * 60)
    asked.monitor.enabled = True
    owner.hold(SERVICE, asked.monitor)
    await asked.served(7)
    asked.app = Starlette(routes=routes_of(monitor_operations(owner)))
    transport = httpx2.ASGITransport(asked.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://a.test") as asked.client:
        yield asked


async def test_the_figures_of_routes(asked: Asked) -> None:
    """The busiest first: throughput, error rate and percentiles of a window, and those of all requests."""
    answer = await asked.ask("/monitor?window=5m")
    assert (answer["by"], answer["seconds"], answer["left_out"]) == ("route", 300.0, 0)
    orders, users = answer["subjects"]
    assert (orders["name"], orders["requests"], orders["errors"], orders["throughput"]) == ("orders", 330, 30, 1.1)
    assert orders["error_rate"] == pytest.approx(1 / 11, rel=1e-4)
    assert orders["p50_ms"] == pytest.approx(20, rel=0.011)
    assert orders["p99_ms"] == pytest.approx(2000, rel=0.011)
    assert (users["name"], users["errors"]) == ("users", 0)
    assert answer["all"]["requests"] == 360


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("by=upstream&sort=p50", ["shop", "accounts"]),
        ("by=upstream&sort=name", ["accounts", "shop"]),
        ("by=tenant&window=1h", ["acme"]),
        ("sort=error_rate&limit=1", ["orders"]),
        ("name=US*", ["users"]),
        ("name=us", []),
        ("by=all", [""]),
        ("by=endpoint", []),
    ],
)
async def test_what_is_asked_for(asked: Asked, query: str, names: list[str]) -> None:
    """By service, endpoint or tenant, by name, in whichever order, and in pages."""
    assert [each["name"] for each in (await asked.ask(f"/monitor?{query}"))["subjects"]] == names


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/monitor?by=routes", 'by: expected one of all, route, upstream, endpoint, tenant; did you mean "route"?'),
        ("/monitor?window=2m", "window: expected one of 10s, 1m, 5m, 1h"),
        ("/monitor?sort=p98", "sort: expected one of"),
        ("/monitor/history?window=1m", "window: expected one of 5m, 1h, 3d"),
        (f"/monitor?name={'a' * 201}", "at most 200 characters"),
        ("/monitor/history?" + "name=a&" * 21, "at most 20"),
    ],
)
async def test_a_wrong_query_is_refused(asked: Asked, path: str, says: str) -> None:
    """With what is wrong, and what can be asked for."""
    assert says in (await asked.ask(path, 400))["error"]


async def test_a_history_is_for_charts(asked: Asked) -> None:
    """Columns of the same length, with nothing where nothing was watched, and a heat map of durations."""
    answer = await asked.ask("/monitor/history?name=orders&name=users&window=1h")
    orders, users = answer["series"]
    assert (len(answer["at"]), answer["step_s"]) == (60, 60)
    assert all(len(orders[name]) == 60 for name in ("requests", "throughput", "error_rate", "p50_ms", "p999_ms"))
    assert orders["requests"][0] is None
    full = [count for count in orders["requests"] if count == 66]
    assert len(full) >= 5
    assert max(count for count in users["requests"] if count is not None) == 6
    heat = orders["heat"]
    busy = orders["requests"].index(66)
    assert sum(heat["counts"][busy]) == 66
    (band,) = [at for at, count in enumerate(heat["counts"][busy]) if count == 60]
    assert 20 <= heat["bounds_ms"][band] <= 20 * 2**0.5
    assert heat["counts"][0] is None


async def test_a_history_of_the_busiest(asked: Asked) -> None:
    """Without names, the busiest have a series each; and three days are by five minutes, of the file."""
    answer = await asked.ask("/monitor/history?window=5m")
    assert [each["name"] for each in answer["series"]] == ["orders", "users"]
    assert len(answer["at"]) == 30
    answer = await asked.ask("/monitor/history?by=all&window=3d")
    assert len(answer["at"]) == 864
    counted = [count for count in answer["series"][0]["requests"] if count is not None]
    assert 6 * 72 <= sum(counted) <= 7 * 72
    tenants = await asked.ask("/monitor/history?by=tenant&name=acme&window=3d")
    assert sum(filter(None, tenants["series"][0]["requests"])) >= 6 * 66


async def test_live_rates(asked: Asked) -> None:
    """What came in each second, as a rate."""
    await asked.monitor.second(asked.now)
    asked._serve("orders", "shop", 0.1, 500)
    asked._serve("orders", "shop", 0.1)
    await asked.monitor.second(asked.now + 0.5)
    answer = await asked.ask("/monitor/live")
    assert (answer["throughput"], answer["errors"]) == ([4.0], [2.0])


async def test_a_monitor_that_is_off(asked: Asked) -> None:
    """Where nothing is watched, the answer says why, and not that there were no requests."""
    asked.monitor.enabled = False
    assert "monitor.enabled is false" in (await asked.ask("/monitor", 409))["error"]


async def _command(asked: Asked, *arguments: str) -> str:
    """What `gateway monitor` prints."""
    server = uvicorn.Server(uvicorn.Config(asked.app, port=0, log_config=None, lifespan="off"))
    server.config.load()
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    command = ["monitor", "--admin", f"127.0.0.1:{port}", *arguments]
    result = await asyncio.to_thread(CliRunner().invoke, main, command)
    server.should_exit = True
    await task
    assert result.exit_code == 0, result.output
    return result.output


async def test_the_command(asked: Asked) -> None:
    """A table of what is asked for, below what all requests were; and JSON for machines."""
    head, names, every, first, second = (await _command(asked, "--window", "5m", "--sort", "p99")).splitlines()
    assert head.startswith("the last 5m before ")
    assert names.split() == ["ROUTE", "REQUESTS/S", "ERRORS", "P50", "P90", "P95", "P99", "P99.9"]
    assert every.split()[:3] == ["(all)", "1.2", "8.33%"]
    assert first.split()[:3] == ["orders", "1.1", "9.09%"]
    assert first.endswith("  1.98 s")
    assert second.startswith("users ")
    assert (await _command(asked, "--by", "tenant")).splitlines()[1].split() == ["TENANT", "REQUESTS/S", "ERRORS"]
    assert json.loads(await _command(asked, "--name", "user*", "--json"))["subjects"][0]["name"] == "users"


async def test_the_command_says_what_is_not_known(asked: Asked) -> None:
    """Whose figures they are where Redis does not answer, and what is left out."""
    link = RedisLink("redis://127.0.0.1:1", 0.01, "x:")
    asked.monitor.link = link
    asked.now += FINE
    await asked.monitor.tick(asked.now)
    assert "Redis does not answer: these are the figures of this gateway alone" in await _command(asked)


ROUTES = "routes: [{path: /*, id: home, respond: {status: 204}}]\n"


def test_a_gateway_watches_until_a_reload_turns_it_off(tmp_path: Path) -> None:
    """Live rates come within seconds, what was served before a restart is there after it, and `enabled: false` ends
    both the watching and the counting."""

    def live() -> Any:
        return httpx2.get(admin_url(gateway, "/monitor/live")).json()

    def hour() -> Any:
        return httpx2.get(admin_url(gateway, "/monitor?window=1h")).json()["all"]["requests"]

    with running_gateway(tmp_path, ROUTES) as gateway:
        until(lambda: len(live()["at"]) > 0)
        for _ in range(5):
            assert get(gateway, "/").status_code == 204
        until(lambda: sum(live()["throughput"]) >= 4)
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0  # what it has counted is written by then
        gateway.start()
        until(lambda: hour() == 5, 100)  # the figures of a window change every ten seconds
        gateway.write(middleware="monitor: {enabled: false}\n")
        until(lambda: httpx2.get(admin_url(gateway, "/monitor")).status_code == 409)
        before = httpx2.get(admin_url(gateway, "/metrics")).text.count('route_id="home"')
        get(gateway, "/")
        assert httpx2.get(admin_url(gateway, "/metrics")).text.count('route_id="home"') == before
