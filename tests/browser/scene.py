"""A gateway with services that are well, slow, failing and gone, and callers: what there is to see on the page."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2

from tests.support import GatewayProcess, read_head, running_gateway

CONSUMERS = ("acme-mobile", "acme-web", "globex", "initech", "umbrella")
AUTH = "\n".join(
    [
        "schemes: {keys: {api_key: {header: X-API-Key}}, guests: {anonymous: {}}}",
        "default: [keys, guests]",
        "consumers:",
        *(
            f"- {{name: {name}, tenant: {name.partition('-')[0]}, "
            f"keys: ['sha256:{sha256(name.encode()).hexdigest()}']}}"
            for name in CONSUMERS
        ),
    ]
)
MIDDLEWARE = """
rate_limits:
  guests: {key: [address], limits: [400/s], routes: [search]}
quotas:
  monthly: {key: [consumer], limit: 20000, window: month}
alerts:
  rules:
    errors: {when: "error_rate > 5%", over: 1m, by: route, minimum: 10, severity: page}
    slow: {when: "p99 > 250ms", over: 1m, by: upstream}
  builtin: [breaker_open]
"""
PATHS = (
    "/v1/orders/{n}",
    "/v1/orders",
    "/v1/users/{n}",
    "/v1/users/{n}/addresses",
    "/v1/search",
    "/v1/payments/{n}",
    "/v1/reports/daily",
    "/v1/catalogue/{n}",
    "/old/orders/{n}",
    "/favicon.ico",
)


@dataclass
class Backend:
    """One that answers after so many seconds, more or less, and fails so often."""

    seconds: float = 0.004
    failing: float = 0.0
    port: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(7))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection."""
        try:
            while True:
                await read_head(reader)
                await asyncio.sleep(self.random.lognormvariate(0, 0.7) * self.seconds)
                failed = self.random.random() < self.failing
                head = "500 Internal Server Error" if failed else "200 OK"
                writer.write(f'HTTP/1.1 {head}\r\ncontent-length: 12\r\n\r\n{{"ok": true}}'.encode())
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class Scene:
    """The backends and the callers, on a thread of their own."""

    def __init__(self) -> None:
        self.backends = {
            "orders-1": Backend(0.005),
            "orders-2": Backend(0.006),
            "orders-3": Backend(0.020, failing=0.30),
            "users-1": Backend(0.003),
            "users-2": Backend(0.003),
            "search-1": Backend(0.060),
            "search-2": Backend(0.080),
            "payments-1": Backend(0.010, failing=0.9),
            "catalogue-1": Backend(0.002),
            "catalogue-2": Backend(0.002, failing=0.02),
        }
        self._calling: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self) -> None:
        for backend in self.backends.values():
            server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
            backend.port = server.sockets[0].getsockname()[1]

    def routes(self) -> str:
        """routes.yaml."""
        at = {name: f"127.0.0.1:{backend.port}" for name, backend in self.backends.items()}
        return f"""\
services:
  orders: {{endpoints: ["{at["orders-1"]}", "{at["orders-2"]}", "{at["orders-3"]}"]}}
  users: {{endpoints: [{{address: "{at["users-1"]}", zone: a}}, {{address: "{at["users-2"]}", zone: b, weight: 2}}]}}
  search: {{endpoints: ["{at["search-1"]}", "{at["search-2"]}", "127.0.0.1:1"], concurrency: {{limit: 200}},
           health: {{path: /health, interval: 1s}}}}
  payments: {{endpoints: ["{at["payments-1"]}"]}}
  catalogue: {{endpoints: ["{at["catalogue-1"]}"]}}
  catalogue-next: {{endpoints: ["{at["catalogue-2"]}"]}}
  reports: {{endpoints: ["127.0.0.1:2"], health: {{tcp: true, interval: 1s}}}}
routes:
- {{id: orders, path: /v1/orders/*, target: orders, retry: {{attempts: 2}}}}
- {{id: users, path: /v1/users/*, target: users}}
- {{id: search, path: /v1/search, target: search, methods: [GET]}}
- {{id: payments, path: /v1/payments/*, target: payments, breaker: {{minimum: 10, open: 5s}}, auth: [keys]}}
- {{id: catalogue, path: /v1/catalogue/*, target: catalogue,
   split: [{{target: catalogue-next, weight: 10}}, {{target: catalogue, weight: 90}}]}}
- {{id: reports, path: /v1/reports/*, target: reports, fallback: {{status: 503, body: "later"}}}}
- {{id: old-orders, path: /old/orders/*, redirect: /v1/orders/$1}}
- {{id: robots, path: /robots.txt, respond: 204}}
"""

    def begin_calls(self, gateway: GatewayProcess, per_second: float) -> None:
        """Let callers call, until the end."""

        async def begin() -> None:
            self._calling = asyncio.create_task(_call(gateway.url, per_second))

        self._run(begin())

    def end(self) -> None:
        """Stop all of it."""

        async def stop() -> None:
            if self._calling is not None:
                self._calling.cancel()
                await asyncio.gather(self._calling, return_exceptions=True)

        self._run(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


async def _call(url: str, per_second: float) -> None:
    draw, limits = random.Random(11), httpx2.Limits(max_connections=50)
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=10) as client, asyncio.TaskGroup() as group:
        while True:
            path = draw.choices(PATHS, (20, 8, 14, 8, 10, 8, 2, 24, 2, 1))[0].replace("{n}", str(draw.randrange(90000)))
            name = draw.choices((*CONSUMERS, None), (30, 22, 14, 8, 3, 20))[0]
            group.create_task(_one(client, path, {"x-api-key": name} if name else {}))
            await asyncio.sleep(draw.expovariate(per_second))


async def _one(client: httpx2.AsyncClient, path: str, headers: dict[str, str]) -> None:
    with suppress(httpx2.HTTPError):
        await client.get(path, headers=headers)


@contextmanager
def scene(directory: Path) -> Iterator[tuple[Scene, GatewayProcess]]:
    """A gateway in front of all that."""
    it = Scene()
    try:
        with running_gateway(directory, it.routes(), MIDDLEWARE, AUTH, ready=True) as gateway:
            yield it, gateway
    finally:
        it.end()
