"""A gateway in this process, between exchanges made by hand and providers on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.app.gateway import handler_of, problem_of
from gateway.build import build
from gateway.config.load import parse
from gateway.deadlines import Deadlines
from gateway.demo_models import DemoModels, serving
from gateway.http import Exchange, Response
from gateway.http.model_record import ModelRecord
from gateway.http.testing import Pieces, make_exchange
from gateway.live import Owner
from gateway.llm.handler import Models
from gateway.snapshot import Snapshot
from gateway.upstream.transport import Connector, Resolver
from tests.support import Script, read_head

PIECE = 16 * 1024  # bytes of a request body that come at once
HANDSHAKE = [
    *[("upgrade", "websocket"), ("connection", "upgrade")],
    *[("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")],
]
ROUTES = "routes: [{id: models, path: /*, target: models, auth: []}]\n"
PROVIDERS = """
providers:
  one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key-of-one]}
  two: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key-of-two]}
modelRouting: {default: fast, profiles: {fast: {preferProviders: [one, two]}}}
"""


@dataclass
class Answered:
    """What a client got, and what was noted."""

    status: int
    headers: dict[str, str]
    body: bytes
    record: ModelRecord | None
    exchange: Exchange = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def noted(self) -> ModelRecord:
        assert self.record is not None
        return self.record


class Gateway:
    """Answers exchanges by one configuration."""

    def __init__(self, snapshot: Snapshot, owner: Owner) -> None:
        self.snapshot = snapshot
        self.last: Exchange  # that was opened
        self.owner = owner

    @property
    def loads(self) -> dict[str, int]:
        """Requests in flight, by provider, and by provider and key."""
        target = self.snapshot.handlers[0].target
        assert isinstance(target, Models)
        return target.failover.loads.of

    async def open(
        self,
        path: str,
        body: bytes | Mapping[str, Any] | None = None,
        *,
        method: str = "",
        headers: Iterable[tuple[str, str]] = (),
        websocket: bool = False,
    ) -> tuple[Exchange, Response]:
        """A request, up to the head of its answer. The exchange is to be closed."""
        data = json.dumps(body).encode() if isinstance(body, Mapping) else body
        exchange = make_exchange(method or ("GET" if data is None else "POST"), path, headers=headers, body=data)
        exchange.websocket = websocket
        if data is not None:
            exchange.body = Pieces(data[at : at + PIECE] for at in range(0, len(data), PIECE))
        self.last = exchange
        try:
            return exchange, await handler_of(exchange, self.snapshot)(exchange)
        except asyncio.CancelledError:
            exchange.close()
            raise
        except Exception as error:
            return exchange, problem_of(error, exchange, self.snapshot)

    async def ask(
        self,
        path: str,
        body: bytes | Mapping[str, Any] | None = None,
        *,
        method: str = "",
        headers: Iterable[tuple[str, str]] = (),
    ) -> Answered:
        """A request, to the end of its answer."""
        exchange, response = await self.open(path, body, method=method, headers=headers)
        data = b""
        try:
            if isinstance(response.body, bytes):
                data = response.body
            else:
                while piece := await response.body.read():
                    data += piece
        finally:
            exchange.close()
        lines = {name.decode(): value.decode("latin-1") for name, value in response.headers}
        return Answered(response.status, lines, data, exchange.model, exchange)


@asynccontextmanager
async def gateway(
    models: str,
    *,
    routes: str = ROUTES,
    auth: str = "",
    middleware: str = "",
    base: Path | None = None,
    sources: Mapping[str, str] | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway with these files, in a directory of its own where `base` names none."""
    files = {
        **(sources or {}),
        "routes.yaml": routes,
        "auth.yaml": auth,
        "middleware.yaml": middleware,
        "models.yaml": models,
    }
    with TemporaryDirectory() as directory:
        contents = {name: text.encode() for name, text in files.items() if text}
        configuration = parse(contents, {}, base=base or Path(directory))
        owner, deadlines = Owner(), Deadlines(asyncio.get_running_loop())
        plan = owner.plan()
        snapshot = build(configuration, plan, Connector(deadlines, Resolver({})))
        await owner.adopt(plan)
        try:
            yield Gateway(snapshot, owner)
        finally:
            await owner.stop()


@asynccontextmanager
async def two_providers(models: str = PROVIDERS, **files: Any) -> AsyncIterator[tuple[Gateway, DemoModels, DemoModels]]:
    """A gateway between a client and two providers of OpenAI's protocol, the first of which is preferred."""
    async with AsyncExitStack() as opened:
        providers = [DemoModels(), DemoModels()]
        ports = [await opened.enter_async_context(serving(each)) for each in providers]
        made = await opened.enter_async_context(gateway(models % tuple(ports), **files))
        yield made, providers[0], providers[1]


def chat(model: str = "small", *, stream: bool = False, **others: Any) -> dict[str, Any]:
    """A chat request."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": "Say hi"}],
        **({"stream": True} if stream else {}),
    } | others


def answering(body: bytes, lines: bytes = b"Content-Type: application/json\r\n", status: bytes = b"200 OK") -> Script:
    """A provider that says this to everything."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n" % (status, len(body), lines) + body)
        await writer.drain()
        writer.close()

    return script
