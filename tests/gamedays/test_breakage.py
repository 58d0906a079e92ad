"""Backends that are killed, stopped, lie and come back, while requests go on: what the client sees of it.

The long versions are those of `make gamedays`: 200 requests a second for as long as it takes.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gamedays.support import Backend, Client, Seen, backends, percentile
from tests.support import GatewayProcess, running_gateway

ROUTES = """\
services:
  shop:
    endpoints: [{addresses}]
    outliers: {{consecutive: 3}}
    health: {{path: /health, interval: {interval}, timeout: 1s}}
routes:
- path: /*
  target: shop
  timeout: {{response_header: 1s}}
"""

LONG = pytest.mark.long


@dataclass
class Day:
    """Three backends behind a gateway, and a client."""

    backends: list[Backend]
    gateway: GatewayProcess
    client: Client

    def after(self, moment: float) -> list[Seen]:
        return [each for each in self.client.seen if each.started > moment]


@contextmanager
def day(directory: Path, interval: str = "10s", count: int = 3) -> Iterator[Day]:
    with backends(count) as started:
        routes = ROUTES.format(addresses=", ".join(each.address for each in started), interval=interval)
        with running_gateway(directory, routes) as gateway:
            client = Client(gateway.port)
            try:
                yield Day(started, gateway, client)
            finally:
                client.close()


@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=LONG)])
@pytest.mark.timeout(120)
async def test_one_is_killed(tmp_path: Path, seconds: float) -> None:
    """When one of three is killed, no GET fails."""
    with day(tmp_path) as it:
        load = asyncio.create_task(it.client.steadily(200, seconds))
        await asyncio.sleep(seconds / 4)
        it.backends[0].kill()
        await load
        assert it.client.failed() == []


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=LONG)])
@pytest.mark.timeout(150)
async def test_one_is_stopped(tmp_path: Path, seconds: float) -> None:
    """When one of three hangs, at most 10 requests fail, and 3 s later the others are answered as fast as before."""
    with day(tmp_path) as it:
        load = asyncio.create_task(it.client.steadily(200, seconds))
        await asyncio.sleep(0.8)
        it.backends[0].signal(signal.SIGSTOP)
        stopped = time.monotonic()
        await load
        before = percentile([each for each in it.client.seen if each.started < stopped], 0.99)
        assert len(it.client.failed()) <= 10
        assert percentile(it.after(stopped + 3), 0.99) < max(0.1, 5 * before)


@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=LONG)])
@pytest.mark.timeout(150)
async def test_one_fails_half_of_its_requests(tmp_path: Path, seconds: float) -> None:
    """When one of three answers every second request with a 500, it gets hardly any more."""
    with day(tmp_path) as it:
        load = asyncio.create_task(it.client.steadily(200, seconds))
        await asyncio.sleep(0.5)
        await it.backends[0].become("errors=50")
        await load
        assert len(it.client.failed()) < 0.02 * len(it.client.seen)


@pytest.mark.parametrize("seconds", [3, pytest.param(30, marks=LONG)])
@pytest.mark.timeout(150)
async def test_one_drips(tmp_path: Path, seconds: float) -> None:
    """When one of three sends its answers byte by byte, it gets much less than a third, and nothing fails."""
    shares: list[float] = []
    while not shares or (min(shares) >= 0.2 and len(shares) < 4):  # others on the machine may hold up all of them
        (directory := tmp_path / str(len(shares))).mkdir()
        with day(directory) as it:
            load = asyncio.create_task(it.client.steadily(200, seconds))
            await asyncio.sleep(0.5)
            await it.backends[0].become("drip=0.01")
            dripping = time.monotonic()
            await load
            assert it.client.failed() == []
            after = it.after(dripping + 0.5)
            dripped = [each for each in after if each.seconds > 0.4]  # it takes 0.42 s
            shares.append(len(dripped) / len(after))
    assert min(shares) < 0.2


@pytest.mark.parametrize("seconds", [1, pytest.param(20, marks=LONG)])
@pytest.mark.timeout(150)
async def test_all_are_down(tmp_path: Path, seconds: float) -> None:
    """With all backends gone requests fail in less than 5 ms; one that is back answers them within one check."""
    with day(tmp_path, interval="500ms") as it:
        await it.client.steadily(200, 0.5)
        for backend in it.backends:
            backend.kill()
        await asyncio.sleep(1.8)  # three checks of each
        medians: list[float] = []
        while not medians or (min(medians) >= 0.005 and len(medians) < 4):  # others on the machine may hold one up
            since = time.monotonic()
            await it.client.steadily(200, seconds)
            assert {each.status for each in it.after(since)} == {502}
            medians.append(percentile(it.after(since), 0.5))
        assert min(medians) < 0.005
        later: list[Seen] = []
        for _ in range(4):
            it.client.over = False
            load = asyncio.create_task(it.client.steadily(200, 60))
            await asyncio.to_thread(it.backends[0].start)
            back = time.monotonic()
            await asyncio.sleep(1.2)
            it.client.over = True
            await load
            later = it.after(back + 0.6)  # an interval, with its jitter
            if {each.status for each in later} == {200}:
                break
            it.backends[0].kill()  # others on the machine may hold up a check, too
            await asyncio.sleep(1.8)
        assert len(later) > 50
        assert {each.status for each in later} == {200}


@pytest.mark.parametrize(("seconds", "pause"), [(3, 0.4), pytest.param(30, 1, marks=LONG)])
@pytest.mark.timeout(150)
async def test_one_flaps(tmp_path: Path, seconds: float, pause: float) -> None:
    """When one of three goes and comes back again and again, no GET fails."""
    with day(tmp_path) as it:
        load = asyncio.create_task(it.client.steadily(200, seconds))
        for _ in range(int((seconds - 0.5) / (2 * pause))):
            await asyncio.sleep(pause)
            it.backends[0].kill()
            await asyncio.sleep(pause)
            await asyncio.to_thread(it.backends[0].start)
        await load
        assert it.client.failed() == []


DISCOVERED = """\
services:
  shop:
    discovery: {file: instances.yaml}
    outliers: {consecutive: 3}
routes:
- path: /*
  target: shop
  timeout: {response_header: 1s}
"""


def write_instances(directory: Path, listed: list[Backend]) -> None:
    temporary = directory / "instances.new"
    temporary.write_text("[" + ", ".join(each.address for each in listed) + "]\n")
    temporary.rename(directory / "instances.yaml")


@pytest.mark.parametrize("pause", [1.5, pytest.param(5, marks=LONG)])
@pytest.mark.timeout(150)
async def test_a_rolling_restart(tmp_path: Path, pause: float) -> None:
    """When each of three leaves its source a while before it stops, and comes back, no GET and no POST fails."""
    with backends(3, "idle=5") as started, running_gateway(tmp_path, DISCOVERED, ready=False) as gateway:
        write_instances(gateway.directory, started)
        gateway.wait_until_healthy()
        client = Client(gateway.port)
        load = [asyncio.create_task(client.steadily(100, 60, method)) for method in ("GET", "POST")]
        for backend in started:
            write_instances(gateway.directory, [each for each in started if each is not backend])
            await asyncio.sleep(pause)
            backend.kill()
            await asyncio.to_thread(backend.start)
            write_instances(gateway.directory, started)
        await asyncio.sleep(pause)
        client.over = True
        await asyncio.gather(*load)
        assert client.failed() == []
        client.close()
