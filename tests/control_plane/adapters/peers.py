"""Servers that adapters talk to, on real sockets: a gateway-controller, and whatever else answers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from gateway.control_plane.adapters.networks import allowed_addresses
from gateway.control_plane.adapters.on_premise import OnPremise
from gateway.control_plane.adapters.outbound import Outbound
from gateway.control_plane.adapters.protocol import GatewaySpec
from gateway.control_plane.settings.adapter import Calls, HealthCheck, RetryPolicy
from gateway.control_plane.settings.adapter import OnPremise as Settings


@dataclass
class Asked:
    """One request, as a server got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | bytes | None
"""Status and JSON (and headers); bytes as they are sent; None: the connection ends without an answer."""

Answering = Callable[[Asked], Awaitable[Answer]]


@dataclass
class Peer:
    """A server that answers as a function says."""

    answering: Answering
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    serving: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self.serving.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *lines = head.decode("latin-1").strip().split("\r\n")
                method, target, _ = line.split(" ")
                headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.asked.append(Asked(method, target, headers, body))
                answer = await self.answering(self.asked[-1])
                if answer is None:
                    return
                writer.write(answer if isinstance(answer, bytes) else _response(*answer))
                await writer.drain()
                if isinstance(answer, bytes):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the server goes
        finally:
            writer.close()


def _response(status: int, content: Any, headers: dict[str, str] | None = None) -> bytes:
    body = b"" if content is None else content.encode() if isinstance(content, str) else json.dumps(content).encode()
    every = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in every.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def peer(answering: Answering) -> AsyncIterator[Peer]:
    """A server at a free port of 127.0.0.1."""
    made = Peer(answering)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in made.serving:
            task.cancel()
        await asyncio.gather(*made.serving)


_SINGULAR = {"llm-providers": "providers", "llm-proxies": "proxies", "mcp-proxies": "mcpProxies", "rest-apis": "apis"}


@dataclass
class FakeController:
    """What a gateway-controller does with resources, as its OpenAPI documents say; HTTP Basic `admin`, `admin`."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)  # by path: "/llm-providers/openai"

    async def __call__(self, asked: Asked) -> Answer:
        if asked.target == "/health":
            return 200, {"status": "healthy", "timestamp": "2026-11-26T12:00:00Z"}
        if asked.headers.get("authorization") != f"Basic {base64.b64encode(b'admin:admin').decode()}":
            return 401, {"code": "authentication_failed", "message": "authentication failed"}
        path = asked.target.removeprefix("/api/management/v1").partition("?")[0]
        return self._answer(asked, path)

    def _answer(self, asked: Asked, path: str) -> Answer:
        collection = path.split("/")[1]
        if asked.method == "POST":
            path = f"{path}/{asked.json()['metadata']['name']}"
            if path in self.resources:
                return 409, {"status": "error", "message": "already exists"}
            self.resources[path] = asked.json()
            return 201, self._shown(path)
        if asked.method == "GET" and path.count("/") == 1:
            found = [self._shown(each) for each in self.resources if each.startswith(f"{path}/")]
            return 200, {"status": "success", "count": len(found), _SINGULAR.get(collection, "templates"): found}
        if path not in self.resources:
            return 404, {"status": "error", "message": "not found"}
        if asked.method == "PUT":
            self.resources[path] = asked.json()
        if asked.method == "DELETE":
            del self.resources[path]
            return 200, {"status": "success", "message": "deleted", "id": path.rpartition("/")[2]}
        return 200, self._shown(path)

    def _shown(self, path: str) -> dict[str, Any]:
        return {**self.resources[path], "status": {"id": path.rpartition("/")[2], "state": "deployed"}}


def on_premise(*, seconds: float = 5, attempts: int = 3, networks: tuple[str, ...] = ("loopback",)) -> OnPremise:
    """The adapter, with short pauses."""
    settings: Calls = Settings(
        default_timeout=seconds,
        retry_policy=RetryPolicy(max_attempts=attempts, max_backoff=0.01),
        health_check=HealthCheck(timeout=seconds),
    )
    return OnPremise(settings, Outbound(allowed_addresses(networks)))


def spec(url: str | None = None, credentials: dict[str, str] | None = None, **config: Any) -> GatewaySpec:
    """A gateway at a URL."""
    given = {**({} if url is None else {"controlPlaneUrl": url}), **config}
    return GatewaySpec(uuid4(), "prod-gateway-1", "Production Gateway 1", "EGRESS", given, credentials)


ADMIN = {"username": "admin", "password": "admin"}
