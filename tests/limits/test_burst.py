"""Limits in a healthy Redis, when a thousand connections ask at once and the gateway itself is late with everything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.limits.test_end_to_end import backend, routes
from tests.redis_server import RedisServer
from tests.support import running_gateway

CONNECTIONS = 1000
REQUESTS = 10
LIMIT = 50
# Redis gets 100 ms, since it may have to wait for a core; the gateway is late by more.


def shared(redis: RedisServer) -> str:
    """What the beginning of middleware.yaml says."""
    return f"redis: {{url: '{redis.url}', timeout: 100ms}}\naccess_log: {{output: 'off'}}\n"


def limited(redis: RedisServer, setting: str) -> str:
    """A middleware.yaml with one limit in Redis."""
    limit = f"{{key: [address], limits: [{LIMIT}/d], store: redis, {setting}}}"
    return f"{shared(redis)}rate_limits: {{all: {limit}}}\n"


@contextlib.asynccontextmanager
async def slowest(redis: RedisServer) -> AsyncIterator[list[float]]:
    """Seconds that Redis takes to answer another client: it may have to wait for a core, too."""
    seconds: list[float] = []

    async def ask() -> None:
        while True:
            began = time.monotonic()
            await asyncio.to_thread(redis.ask, "PING")
            seconds.append(time.monotonic() - began)
            await asyncio.sleep(0.005)

    asking = asyncio.create_task(ask())
    try:
        yield seconds
    finally:
        asking.cancel()


async def burst(path: str, ports: list[int]) -> dict[int, int]:
    """How many of the requests got which status."""
    command = [sys.executable, "-m", "tests.limits.burst", str(CONNECTIONS), str(REQUESTS), path, *map(str, ports)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    return {int(status): count for status, count in json.loads(printed).items()}


async def passes_exactly_the_limit(redis: RedisServer, directory: Path, middleware: str) -> None:
    """Unless Redis itself was as slow as would count as down: then the burst is sent once more."""
    for number in range(5):
        (place := directory / f"gateway-{number}").mkdir()
        redis.ask("FLUSHALL")
        async with backend() as port, slowest(redis) as seconds:
            with running_gateway(place, routes(port, "x"), middleware) as gateway:
                answers = await burst("/x", [gateway.port])
                log = gateway.log
        if "Redis" not in log or max(seconds) < 0.05:
            break
    assert "Redis" not in log
    assert answers == {200: LIMIT, 429: CONNECTIONS * REQUESTS - LIMIT}


@pytest.mark.parametrize("on_failure", ["open", "closed", "local"])
async def test_a_burst_passes_what_the_limit_says(own_redis: RedisServer, tmp_path: Path, on_failure: str) -> None:
    """Ten thousand requests at once: exactly the limit passes, all others get a 429, and Redis is not thought down."""
    await passes_exactly_the_limit(own_redis, tmp_path, limited(own_redis, f"on_failure: {on_failure}"))


async def test_leased_gateways_stay_within_their_bound(own_redis: RedisServer, tmp_path: Path) -> None:
    """Three gateways with a leased limit let at most half a burst too many pass, and none too few."""
    middleware = limited(own_redis, "sync: leased")
    async with backend() as port:
        with contextlib.ExitStack() as stack:
            gateways = []
            for number in range(3):
                directory = tmp_path / str(number)
                directory.mkdir()
                gateways.append(stack.enter_context(running_gateway(directory, routes(port, "x"), middleware)))
            answers = await burst("/x", [gateway.port for gateway in gateways])
            assert not any("Redis is down" in gateway.log for gateway in gateways)
    assert sum(answers.values()) == CONNECTIONS * REQUESTS
    assert LIMIT <= answers[200] <= LIMIT * 3 // 2
    assert set(answers) == {200, 429}


@pytest.mark.parametrize("store", ["redis", "sqlite"])
async def test_a_burst_passes_what_the_quota_says(own_redis: RedisServer, tmp_path: Path, store: str) -> None:
    """The same for a quota that lets nothing pass while its store does not answer."""
    quota = f"{{key: [address], limit: {LIMIT}, window: month, store: {store}, on_failure: closed}}"
    await passes_exactly_the_limit(own_redis, tmp_path, f"{shared(own_redis)}quotas: {{all: {quota}}}\n")
