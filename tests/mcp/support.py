"""MCP servers on ports of the loopback interface, and endpoints of the gateway in front of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import uvicorn

from gateway.balancing.round_robin import RoundRobin
from gateway.config.load import parse
from gateway.config.models.llm.mcp import McpServer
from gateway.config.problems import Path as Place
from gateway.config.values.addresses import AddressTarget, parse_target
from gateway.context import Context
from gateway.deadlines import Deadlines
from gateway.demo_models.serving import LoopbackServer
from gateway.http import Exchange, Handler, Identity, Response
from gateway.http.testing import make_exchange
from gateway.limits.held_bodies import held_bodies_of
from gateway.live import Owner
from gateway.mcp.answers import Speaking
from gateway.mcp.configured import mcp_endpoint
from gateway.upstream.cluster import Cluster
from gateway.upstream.member import Address, Member
from gateway.upstream.request import Timeouts
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver

Json = Any
Piece = bytes | BaseException | float  # some of a body; an end in its middle; seconds without anything
Send = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Received:
    """A request as a server got it."""

    method: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body)


def tool(name: str) -> Json:
    return {"name": name, "inputSchema": {"type": "object"}}


@dataclass
class McpStub:
    """A server with a session for each client, which answers in JSON, or with `events` in events.

    `results` has what a method answers in place of the usual: a result, or a function of the message; one with `!error`
    is an error. `raw` is the answer to all posts: status, content type, pieces of the body.
    """

    name: str = "stub"
    tools: Sequence[str] = ("read_file", "write_file")
    events: bool = False
    results: dict[str, Any] = field(default_factory=dict)
    raw: tuple[int, str, Sequence[Piece]] | None = None
    headers: Sequence[tuple[bytes, bytes]] = ()
    capabilities: Json = field(default_factory=lambda: {"tools": {"listChanged": True}})
    sessions: bool = True
    version: str = "2025-06-18"
    received: list[Received] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    said: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)  # on the stream of a GET
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def methods(self) -> list[str]:
        """Of all messages that came, also in batches."""
        found = [each.json for each in self.received if each.method == "POST"]
        return [each.get("method", "answer") for one in found for each in (one if isinstance(one, list) else [one])]

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.received.append(Received(scope["method"], headers, body))
        session = headers.get("mcp-session-id", "")
        if scope["path"] != "/mcp":
            await self._answer(send, 200, "application/json", [json.dumps({"resource": scope["path"]}).encode()])
        elif scope["method"] == "GET":
            await self._stream(send)
        elif scope["method"] == "DELETE":
            await self._answer(send, 200 if session in self.open else 404, "application/json", [])
            self.open.discard(session)
        elif self.raw is not None:
            await self._answer(send, *self.raw)
        else:
            await self._post(json.loads(body), session, send)

    async def _post(self, document: Json, session: str, send: Send) -> None:
        several = document if isinstance(document, list) else [document]
        if self.sessions and any(each.get("method") == "initialize" for each in several):
            session = f"{self.name}-{len(self.open) + 1}"
            self.open.add(session)
        elif self.sessions and session not in self.open:
            error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no session"}}
            await self._answer(send, 404, "application/json", [json.dumps(error).encode()])
            return
        lines = [(b"mcp-session-id", session.encode())] if self.sessions else []
        answers = [self._result(each) for each in several if "method" in each and "id" in each]
        if not answers:
            await self._answer(send, 202, "", [], lines)
        elif self.events:
            texts = [f"event: message\r\nid: {n}\r\ndata: {json.dumps(a)}\r\n\r\n" for n, a in enumerate(answers)]
            await self._answer(send, 200, "text/event-stream", [text.encode() for text in texts], lines)
        else:
            whole = answers if isinstance(document, list) else answers[0]
            await self._answer(send, 200, "application/json", [json.dumps(whole).encode()], lines)

    def _result(self, message: Json) -> Json:
        method, made = message["method"], {"jsonrpc": "2.0", "id": message["id"]}
        text = f"{self.name}:{message.get('params', {}).get('name')}"
        usual: dict[str, Any] = {
            "initialize": {
                "protocolVersion": self.version,
                "capabilities": self.capabilities,
                "serverInfo": {"name": self.name, "version": "1"},
            },
            "tools/list": {"tools": [tool(name) for name in self.tools]},
            "tools/call": {"content": [{"type": "text", "text": text}]},
        }
        result = self.results.get(method, usual.get(method, {}))
        result = result(message) if callable(result) else result
        return {**made, "error": result["!error"]} if "!error" in result else {**made, "result": result}

    async def _stream(self, send: Send) -> None:
        head = [(b"content-type", b"text/event-stream"), *self.headers]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        while piece := await self.said.get():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, send: Send, status: int, kind: str, pieces: Sequence[Piece], lines: Any = ()) -> None:
        head = [*([(b"content-type", kind.encode())] if kind else []), *lines, *self.headers]
        await send({"type": "http.response.start", "status": status, "headers": head})
        for piece in pieces:
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def serving(*stubs: McpStub) -> AsyncIterator[None]:
    """Serve each on a port of its own."""
    async with contextlib.AsyncExitStack() as opened:
        for stub in stubs:
            listener = opened.enter_context(contextlib.closing(socket.create_server(("127.0.0.1", stub.port))))
            stub.port = listener.getsockname()[1]
            config = uvicorn.Config(cast(Any, stub), lifespan="off", log_level="critical", access_log=False)
            server = LoopbackServer(config)
            running = asyncio.ensure_future(server.serve([listener]))
            opened.push_async_callback(_ended, server, running)
        yield


async def _ended(server: LoopbackServer, running: asyncio.Future[None]) -> None:
    server.end()
    await running


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body)

    @property
    def events(self) -> list[Json]:
        """The messages in its events."""
        lines = self.body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").decode().split("\n")
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]

    @property
    def message(self) -> Json:
        """The last one, however it came."""
        return self.json if self.body.startswith(b"{") else self.events[-1]

    @property
    def session(self) -> str:
        return self.headers["mcp-session-id"]

    @property
    def tools(self) -> list[str]:
        return [each["name"] for each in self.message["result"]["tools"]]


@dataclass
class Door:
    """An endpoint of the gateway, asked without a server."""

    handler: Handler

    async def ask(self, method: str, body: bytes | None = None, **said: str) -> Answer:
        response = (await self.begin(method, body, **said))[0]
        data = response.body
        if not isinstance(data, bytes):
            pieces = []
            while piece := await data.read():
                pieces.append(piece)
            data = b"".join(pieces)
        lines = {name.decode(): value.decode("latin-1") for name, value in response.headers}
        return Answer(response.status, lines, data)

    async def begin(
        self,
        method: str,
        body: bytes | None = None,
        *,
        consumer: str = "",
        path: str = "/mcp",
        client: str = "192.0.2.1",
        **headers: str,
    ) -> tuple[Response, Exchange]:
        """The response as it begins. `x_y` is the header `X-Y`."""
        lines = [(name.replace("_", "-"), value) for name, value in headers.items() if value]
        lines += [("content-type", "application/json")] * ("content_type" not in headers)
        lines += [("accept", "application/json, text/event-stream")]
        exchange = make_exchange(method, path, headers=lines, body=body, client=client)
        exchange.host = headers.get("host", exchange.host)
        exchange.identity = Identity(consumer, "test", fingerprint="f") if consumer else None
        return await self.handler(exchange), exchange

    async def post(self, message: Json, session: str = "", **said: str) -> Answer:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return await self.ask("POST", body, mcp_session_id=session, **said)

    async def call(self, method: str, session: str = "", *, id: Any = 1, consumer: str = "", **params: Any) -> Answer:
        message = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
        return await self.post(message, session, consumer=consumer)

    async def initialize(self, *, consumer: str = "") -> Answer:
        about = {"name": "c", "version": "1"}
        params: Json = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": about}
        return await self.call("initialize", consumer=consumer, **params)


def door(models: str, *, endpoints: Mapping[str, Sequence[int]] | None = None) -> Door:
    """The only endpoint of this `mcp` part of models.yaml. `endpoints`: of services, their ports."""
    services = {
        name: {"endpoints": [f"127.0.0.1:{port}" for port in ports]} for name, ports in (endpoints or {}).items()
    }
    routes = {"routes": [{"path": "/mcp", "target": "mcp", "auth": []}], "services": services}
    files = {"routes.yaml": json.dumps(routes), "models.yaml": f"mcp:\n  {models}\n"}
    configuration = parse({name: text.encode() for name, text in files.items()}, {}, base=Path("/nowhere"))
    context = Context(configuration, Owner().plan())
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))

    def ways(server: McpServer, path: Place) -> tuple[Cluster, Callable[[Handler], Handler]]:
        target = parse_target(server.target)
        addresses = [Address("127.0.0.1", port) for port in (endpoints or {}).get(server.target, ())]
        if isinstance(target, AddressTarget):
            addresses = [Address(target.host, target.port)]
        upstream = Upstream(server.target, connector, Settings(RoundRobin), [Member(each) for each in addresses])
        return Cluster(server.target, upstream, Timeouts()), lambda handler: handler

    assert configuration.models is not None
    ((name, config),) = configuration.models.mcp.items()
    made = mcp_endpoint(context, "mcp", name, config, ways)
    assert made is not None
    return Door(Speaking(made, held_bodies_of(context), full=False))
