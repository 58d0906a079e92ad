"""Registries that are away for a minute, under load, and come back with another set."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from redis import Redis

from tests.etcd_server import EtcdServer
from tests.redis_server import RedisServer, redis_program, valkey_program
from tests.support import eventually, running_gateway
from tests.upstream.test_service import named_backends

MINUTE = 60.0


class Etcd:
    """The instances in etcd."""

    def __init__(self, directory: Path) -> None:
        self.server = EtcdServer(directory)
        self.discovery = f"{{etcd: {{url: '{self.server.url}', prefix: /services/stock/}}}}"
        self.middleware = ""

    def change(self, here: int, gone: int | None) -> None:
        """This port is an instance, and that one is none."""
        self.server.put(f"/services/stock/{here}", f"127.0.0.1:{here}")
        if gone is not None:
            self.server.delete(f"/services/stock/{gone}")


class InRedis:
    """The instances in Redis, or Valkey; what registers them goes on saying that they live."""

    def __init__(self, directory: Path, program: Callable[[], str]) -> None:
        self.server = RedisServer(directory, program=program)
        self.discovery = "{redis: stock}"
        self.middleware = f"redis: {{url: '{self.server.url}'}}"

    def change(self, here: int, gone: int | None) -> None:
        """The same."""
        with Redis.from_url(self.server.url) as redis:
            until = time.time() + 3600
            redis.zadd("gateway:registry:stock", {f"127.0.0.1:{here}": until})
            if gone is not None:
                redis.zadd("gateway:registry:stock", {f"127.0.0.1:{gone}": -time.time()})


Registry = Etcd | InRedis


@pytest.fixture(params=["etcd", "redis", "valkey"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """Running."""
    programs = {"redis": redis_program, "valkey": valkey_program}
    name = request.param
    made: Registry = Etcd(tmp_path) if name == "etcd" else InRedis(tmp_path, programs[name])
    made.server.start()
    yield made
    made.server.kill()


@asynccontextmanager
async def asked(url: str) -> AsyncIterator[Counter[str]]:
    """Who answers a client that asks twenty times a second, as long as this lasts; what fails is counted as such."""
    answers: Counter[str] = Counter()

    async def ask() -> None:
        async with httpx2.AsyncClient(timeout=5) as client:
            while True:
                try:
                    response = await client.get(url)
                    answers[response.text if response.status_code == 200 else "failed"] += 1
                except httpx2.HTTPError:
                    answers["failed"] += 1
                await asyncio.sleep(0.05)

    task = asyncio.create_task(ask())
    try:
        yield answers
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@contextmanager
def away(registry: Registry) -> Iterator[None]:
    """It is killed, and started again."""
    registry.server.kill()
    yield
    registry.server.start()


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_a_registry_that_is_away_for_a_minute(registry: Registry, tmp_path: Path) -> None:
    """No request fails for it, and what it says when it is back is used."""
    async with named_backends("one", "two") as (one, two):
        registry.change(one, None)
        routes = f"services: {{stock: {{discovery: {registry.discovery}}}}}\nroutes: [{{path: /x, target: stock}}]"
        with running_gateway(tmp_path, routes, registry.middleware) as gateway:
            async with asked(f"{gateway.url}/x") as answers:
                await eventually(lambda: answers["one"] > 0)
                with away(registry):
                    before = answers["one"]
                    await asyncio.sleep(MINUTE)
                    assert answers["one"] > before
                registry.change(two, one)
                await eventually(lambda: answers["two"] > 0, 30)
                last = answers["one"]
                await asyncio.sleep(3.0)
                assert answers["one"] - last <= 1
                assert answers["failed"] == 0
