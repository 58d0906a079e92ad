"""Limits and quotas of a running gateway, with requests over the network."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from gateway.limits.ledger import WRITE_SECONDS
from tests.redis_server import RedisServer, running_redis
from tests.support import GatewayProcess, eventually, lateness, read_head, running_gateway, scripted_backend

MOST_SECONDS = 0.025
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MIDDLEWARE = """
redis: {{url: '{url}'}}
access_log: {{output: 'off'}}
rate_limits:
  parallel: {{key: [address], limits: [50/d], routes: [parallel]}}
  exact: {{key: [address], limits: [50/d], routes: [exact], store: redis}}
  local: {{key: [address], limits: [1000000/s], routes: [loaded], store: redis, on_failure: local}}
  leased: {{key: [address], limits: [1000000/s], routes: [loaded], store: redis, sync: leased, on_failure: open}}
  closed: {{key: [address], limits: [1000000/s], routes: [closed], store: redis, on_failure: closed}}
quotas:
  shared: {{key: [address], limit: 1000000000, window: day, routes: [loaded], store: redis}}
"""


def routes(port: int, *names: str) -> str:
    return "".join(f"- {{id: {name}, path: /{name}, target: '127.0.0.1:{port}'}}\n" for name in names)


@asynccontextmanager
async def backend() -> AsyncIterator[int]:
    """Answers every request on every connection."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            writer.write(ANSWER)

    async with scripted_backend(script) as port:
        yield port


class Client:
    """One connection to a gateway, which is used again and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def of(cls, gateway: GatewayProcess) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", gateway.port))

    async def get(self, path: str) -> int:
        """The status of one request."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        head = await read_head(self._reader)
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self._reader.readexactly(int(length.partition(b":")[2]))
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        self._writer.close()


async def statuses(gateways: list[GatewayProcess], path: str, clients: int, times: int) -> list[int]:
    """What so many clients get that all send so many requests, at the same time."""
    connected = [await Client.of(gateways[number % len(gateways)]) for number in range(clients)]

    async def send(client: Client) -> list[int]:
        return [await client.get(path) for _ in range(times)]

    answers = await asyncio.gather(*(send(client) for client in connected))
    for client in connected:
        client.close()
    return [status for answer in answers for status in answer]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


async def test_parallel_clients_never_get_more_than_the_limit(tmp_path: Path) -> None:
    """Thirty clients at a time with ten requests each: as many pass as the limit says, the others get a 429."""
    middleware = "rate_limits: {all: {key: [address], limits: [50/d]}}"
    async with backend() as port:
        with running_gateway(tmp_path, routes(port, "x"), middleware) as gateway:
            answers = await statuses([gateway], "/x", clients=30, times=10)
            assert sorted(answers) == [200] * 50 + [429] * 250
            refused = await asyncio.to_thread(httpx2.get, gateway.url + "/x")
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert refused.headers["ratelimit-policy"] == '"all";q=50;w=86400'
    assert refused.headers["ratelimit"] == '"all";r=0;t=' + refused.headers["retry-after"]


async def test_a_reload_does_not_refill_a_limit(tmp_path: Path) -> None:
    """What was counted stays counted when the configuration is read again, also with another limit."""
    async with backend() as port:
        limits = "rate_limits: {{all: {{key: [address], limits: [{}/d]}}}}"
        with running_gateway(tmp_path, routes(port, "x"), limits.format(5)) as gateway:
            assert sorted(await statuses([gateway], "/x", 1, 10)) == [200] * 5 + [429] * 5
            gateway.write(middleware=limits.format(6))
            gateway.signal(signal.SIGHUP)
            await eventually(lambda: " reloaded" in gateway.log)
            assert await statuses([gateway], "/x", 1, 3) == [429] * 3


async def test_two_gateways_share_exactly_one_limit(tmp_path: Path, own: RedisServer) -> None:
    """Two gateways with one Redis let together as many pass as the limit says."""
    middleware = f"redis: {{url: '{own.url}', timeout: 1s}}\n"
    middleware += "rate_limits: {all: {key: [address], limits: [50/d], store: redis, on_failure: closed}}"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with backend() as port:
        with (
            running_gateway(tmp_path / "a", routes(port, "x"), middleware) as one,
            running_gateway(tmp_path / "b", routes(port, "x"), middleware) as two,
        ):
            answers = await statuses([one, two], "/x", clients=20, times=10)
    assert sorted(answers) == [200] * 50 + [429] * 150


class Load:
    """Clients that ask without a pause, at a route with limits in Redis, one that fails closed, and one without any."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self.longest = {"/loaded": 0.0, "/closed": 0.0, "/free": 0.0}
        self.statuses: dict[str, list[int]] = {path: [] for path in self.longest}

    async def client(self, path: str) -> None:
        client, loop = await Client.of(self._gateway), asyncio.get_running_loop()
        while True:
            started = loop.time()
            self.statuses[path].append(await client.get(path))
            self.longest[path] = max(self.longest[path], loop.time() - started)
            await asyncio.sleep(0.002)

    async def until_closed_answers(self, status: int) -> None:
        """Until the route that fails closed answers so, many times in a row."""
        await eventually(lambda: self.statuses["/closed"][-30:] == [status] * 30, 60, f"no {status} any more")

    def forget(self) -> None:
        for path in self.longest:
            self.longest[path] = 0.0
            self.statuses[path].clear()


@asynccontextmanager
async def under_load(gateway: GatewayProcess) -> AsyncIterator[Load]:
    load = Load(gateway)
    clients = [asyncio.create_task(load.client(path)) for path in load.longest for _ in range(4)]
    try:
        yield load
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def test_no_request_waits_for_redis(tmp_path: Path) -> None:
    """Redis frozen, going on, killed and restarted under load: no request waits more than 25 ms for it, each limit
    does what it says for that case, and all is as before when Redis is back, by itself."""
    (tmp_path / "gateway").mkdir()
    with running_redis(tmp_path) as server:
        middleware = MIDDLEWARE.format(url=server.url)
        async with backend() as port:
            config = routes(port, "parallel", "exact", "loaded", "closed", "free")
            with running_gateway(tmp_path / "gateway", config, middleware) as gateway:
                async with under_load(gateway) as load:
                    await load.until_closed_answers(200)
                    load.forget()
                    for harm, repair in ((server.freeze, server.thaw), (server.kill, server.start)):
                        harm()
                        await load.until_closed_answers(503)
                        await asyncio.to_thread(repair)
                        await load.until_closed_answers(200)
    assert set(load.statuses["/loaded"]) == {200}  # counted here, and let pass
    assert set(load.statuses["/closed"]) == {200, 503}
    for path in ("/loaded", "/closed"):
        # What a request without limits took at worst meanwhile is what the machine and the network take; several such
        # delays of the gateway in one wait do not count as time of Redis.
        assert load.longest[path] <= MOST_SECONDS + 3 * load.longest["/free"]


@pytest.mark.parametrize("sync", ["exact", "leased"])
async def test_an_outage_does_not_refill_a_limit(tmp_path: Path, own_redis: RedisServer, sync: str) -> None:
    """Who has used up a limit before Redis went away has used it up in the gateway that counts by itself, too."""
    limit = f"{{key: [address], limits: [5/d], store: redis, on_failure: local, sync: {sync}}}"
    middleware = f"redis: {{url: '{own_redis.url}', timeout: 200ms}}\nrate_limits: {{all: {limit}}}\n"
    (tmp_path / "gateway").mkdir()
    async with backend() as port:
        with running_gateway(tmp_path / "gateway", routes(port, "x"), middleware) as gateway:
            assert await statuses([gateway], "/x", 1, 6) == [200] * 5 + [429]
            own_redis.kill()
            await eventually(lambda: "Redis is down" in gateway.log)
            assert await statuses([gateway], "/x", 1, 6) == [429] * 6


AUTH = """
default: [keys]
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
consumers:
- {{name: acme, tenant: corp, keys: [{{hash: 'sha256:{acme}'}}]}}
- {{name: other, tenant: else, keys: [{{hash: 'sha256:{other}'}}]}}
""".format(acme=hashlib.sha256(b"a" * 40).hexdigest(), other=hashlib.sha256(b"o" * 40).hexdigest())
QUOTAS = "quotas: {monthly: {key: [tenant], limit: 100, window: month, timezone: Europe/Berlin}}"


def ask(gateway: GatewayProcess, path: str, key: str = "a") -> httpx2.Response:
    return httpx2.get(gateway.url + path, headers={"x-api-key": key * 40} if key else {}, timeout=60)


async def test_a_caller_learns_what_is_left(tmp_path: Path) -> None:
    """/quota reports to an authenticated caller its own quotas only, and is not counted."""
    async with backend() as port:
        with running_gateway(tmp_path, routes(port, "x"), QUOTAS, AUTH) as gateway:
            for _ in range(3):
                response = await asyncio.to_thread(ask, gateway, "/x")
                assert response.status_code == 200
            assert response.headers["ratelimit"].startswith('"monthly";r=97;t=')
            for _ in range(2):
                mine = (await asyncio.to_thread(ask, gateway, "/quota")).json()["quotas"][0]
            others = (await asyncio.to_thread(ask, gateway, "/quota", "o")).json()["quotas"][0]
            anonymous = await asyncio.to_thread(ask, gateway, "/quota", "")
    assert mine == mine | {"name": "monthly", "limit": 100, "used": 3, "remaining": 97, "window": "month"}
    assert others["remaining"] == 100
    assert anonymous.status_code == 401


async def test_a_killed_gateway_loses_no_more_than_is_stated(tmp_path: Path) -> None:
    """After kill -9 in the middle of requests, all is still counted that was answered before the last write."""
    quotas = "quotas: {daily: {key: [address], limit: 1000000, window: day}}"
    async with backend() as port:
        with running_gateway(tmp_path, routes(port, "x"), quotas) as gateway:
            answered: list[float] = []
            client = await Client.of(gateway)
            async with lateness() as late:
                began = time.monotonic()
                while time.monotonic() < began + 3 * WRITE_SECONDS:
                    await client.get("/x")
                    answered.append(time.monotonic())
            gateway.signal(signal.SIGKILL)
            killed = time.monotonic()
            gateway.wait()
            gateway.start()
            response = await asyncio.to_thread(ask, gateway, "/quota", "")
    used = response.json()["quotas"][0]["used"]
    # For the write itself a quarter of a second, and as much more as this process was late.
    written = sum(at < killed - WRITE_SECONDS - 0.25 - late.seconds for at in answered)
    assert written <= used <= len(answered)
    assert answered
    assert used > 0


async def test_a_gateway_that_ends_in_order_loses_nothing(tmp_path: Path) -> None:
    """After SIGINT and a new start every request is still counted."""
    async with backend() as port:
        with running_gateway(tmp_path, routes(port, "x"), QUOTAS, AUTH) as gateway:
            for _ in range(7):
                await asyncio.to_thread(ask, gateway, "/x")
            gateway.stop()
            gateway.start()
            response = await asyncio.to_thread(ask, gateway, "/quota")
    assert response.json()["quotas"][0]["used"] == 7
