"""The spans that a collector gets of requests, and the trace context of backends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.monitor.telemetry.collector import Collector, attributes, running_collector
from tests.support import GatewayProcess, exchange, free_port, read_head, running_gateway, scripted_backend

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
_TRACEPARENT = re.compile(r"traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass
class Backend:
    """A backend, and what it was asked."""

    answers: list[bytes] = field(default_factory=list)  # the last is given again and again
    heads: list[str] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.heads.append((await read_head(reader)).decode())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if not answer:
                return
            writer.write(answer)
            await writer.drain()

    def parents(self) -> list[tuple[str, str, str]]:
        """Trace, span and flags, of each request."""
        return [match.groups() for head in self.heads for match in _TRACEPARENT.finditer(head)]  # type: ignore[misc]


@asynccontextmanager
async def backend(*answers: bytes) -> AsyncIterator[Backend]:
    made = Backend(list(answers) or [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"])
    async with scripted_backend(made.serve) as port:
        made.port = port
        yield made


@contextmanager
def gateway(
    directory: Path, collector: Collector, routes: str, more: str = "", sample: str = "100%", trust: str = "always"
) -> Iterator[GatewayProcess]:
    middleware = (
        f"telemetry: {{otlp: '{collector.url}', resource: {{deployment.environment.name: test}}}}\n"
        f"trace: {{trust: {trust}, sample: {sample}}}\n{more}"
    )
    environment = FAST | {"OTEL_RESOURCE_ATTRIBUTES": "service.namespace=shop"}
    with running_gateway(directory, routes, middleware, environment=environment) as running:
        yield running


async def get(port: int, path: str, *headers: str, method: str = "GET") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: api.example.com", "Connection: close", *headers, "", ""]
    return await exchange(port, "\r\n".join(head).encode())


def route(port: int, more: str = "") -> str:
    return f"- {{id: orders, path: '/orders/{{id}}', target: '127.0.0.1:{port}'{more}}}\n"


async def test_a_request_is_a_server_span_and_a_client_span_below_it(tmp_path: Path) -> None:
    """The backend gets the client span, so that its own spans stand below that."""
    with running_collector() as collector:
        async with backend() as behind:
            with gateway(tmp_path, collector, route(behind.port)) as running:
                await get(running.port, "/orders/7?token=secret&x", "User-Agent: test", "tracestate: a=1")
                await asyncio.to_thread(collector.wait, 2)
    server, client = sorted(collector.spans, key=lambda span: span.kind)
    assert (server.kind, client.kind, server.name, client.name) == (SERVER, CLIENT, "GET /orders/{id}", "GET")
    assert (client.trace_id, client.parent_span_id, server.parent_span_id) == (server.trace_id, server.span_id, b"")
    assert behind.parents() == [(server.trace_id.hex(), client.span_id.hex(), "03")]
    assert server.start_time_unix_nano <= client.start_time_unix_nano < client.end_time_unix_nano
    assert client.end_time_unix_nano <= server.end_time_unix_nano
    assert server.status.code == client.status.code == Status.STATUS_CODE_UNSET
    found = attributes(server.attributes)
    record = orjson.loads(running.access_log)
    assert found.pop("gateway.request_id") == record["request_id"]
    assert (record["trace_id"], record["span_id"]) == (server.trace_id.hex(), server.span_id.hex())
    assert found == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/orders/7",
        "url.query": "token=(hidden)&(hidden)",
        "http.route": "/orders/{id}",
        "http.response.status_code": 200,
        "server.address": "api.example.com",
        "server.port": 80,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "user_agent.original": "test",
        "http.request.body.size": 0,
        "http.response.body.size": 2,
        "gateway.route_id": "orders",
    }
    assert attributes(client.attributes) == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": behind.port,
        "url.full": f"http://127.0.0.1:{behind.port}/orders/7?token=(hidden)&(hidden)",
        "http.response.status_code": 200,
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "http.response.body.size": 2,
        "gateway.upstream": f"127.0.0.1:{behind.port}",
        "gateway.connection.reused": False,
    }
    assert collector.resource["service.name"] == "gateway"
    assert collector.resource["service.namespace"] == "shop"
    assert collector.resource["deployment.environment.name"] == "test"
    assert collector.resource["service.instance.id"]


async def test_a_parent_that_is_trusted_stays_the_parent(tmp_path: Path) -> None:
    """With its state and its decision: what it does not record passes as it came, and is not recorded here either."""
    with running_collector() as collector:
        async with backend() as behind:
            with gateway(tmp_path, collector, route(behind.port), sample="0") as running:
                await get(running.port, "/orders/1", f"traceparent: 00-{TRACE}-{PARENT}-00")
                await get(running.port, "/orders/2", f"traceparent: 00-{TRACE}-{PARENT}-01", "tracestate: a=1,b=2")
                await get(running.port, "/orders/3")
                await asyncio.to_thread(collector.wait, 2)
    server, client = sorted(collector.spans, key=lambda span: span.kind)
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, PARENT)
    assert (server.trace_state, client.trace_state) == ("a=1,b=2", "a=1,b=2")
    unrecorded, recorded, own = behind.parents()
    assert unrecorded == (TRACE, PARENT, "00")
    assert recorded == (TRACE, client.span_id.hex(), "01")
    assert own[0] != TRACE
    assert own[2] == "02"
    assert "tracestate: a=1,b=2" in behind.heads[1]
    assert attributes(server.attributes)["url.path"] == "/orders/2"


async def test_each_attempt_is_a_span(tmp_path: Path) -> None:
    """The second and those behind it say so; each backend gets its own."""
    async with backend(b"") as down, backend() as up:
        service = (
            f"services: {{s: {{endpoints: ['127.0.0.1:{free_port()}', '127.0.0.1:{down.port}', '127.0.0.1:{up.port}']"
        )
        service += ", balance: round_robin}}\n"
        routes = service + "routes:\n- {id: all, path: '/*', target: s, retry: {attempts: 5, on: [connect, reset]}}\n"
        with running_collector() as collector, gateway(tmp_path, collector, routes) as running:
            for _ in range(6):
                assert b" 200 " in await get(running.port, "/")
            spans = await asyncio.to_thread(collector.wait, 6, kind=SERVER)
    longest = 0
    for server in spans:
        children = sorted(
            (span for span in collector.spans if span.parent_span_id == server.span_id),
            key=lambda span: span.start_time_unix_nano,
        )
        counts = [attributes(child.attributes).get("http.request.resend_count") for child in children]
        assert counts == [None, *range(1, len(children))]
        assert [child.status.code for child in children[:-1]] == [Status.STATUS_CODE_ERROR] * (len(children) - 1)
        errors = {attributes(child.attributes)["error.type"] for child in children[:-1]}
        assert errors <= {"upstream-refused", "upstream-reset"}
        assert server.status.code == children[-1].status.code == Status.STATUS_CODE_UNSET
        assert all(child.end_time_unix_nano <= server.end_time_unix_nano for child in children)
        longest = max(longest, len(children))
    assert longest > 1
    span_ids = {span for _, span, _ in (*down.parents(), *up.parents())}
    assert span_ids <= {span.span_id.hex() for span in collector.spans if span.kind == CLIENT}


@pytest.mark.parametrize(
    ("status", "server", "client"), [(404, "UNSET", "ERROR"), (500, "ERROR", "ERROR"), (302, "UNSET", "UNSET")]
)
async def test_statuses_are_errors_as_the_conventions_have_it(
    tmp_path: Path, status: int, server: str, client: str
) -> None:
    """A 404 is an error of who asked, and none of who answered."""
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
    with running_collector() as collector:
        async with backend(answer) as behind:
            with gateway(tmp_path, collector, route(behind.port)) as running:
                await get(running.port, "/orders/1")
                await asyncio.to_thread(collector.wait, 2)
    first, second = sorted(collector.spans, key=lambda span: span.kind)
    assert Status.StatusCode.Name(first.status.code) == f"STATUS_CODE_{server}"
    assert Status.StatusCode.Name(second.status.code) == f"STATUS_CODE_{client}"
    for span, outcome in ((first, server), (second, client)):
        assert attributes(span.attributes).get("error.type") == (str(status) if outcome == "ERROR" else None)


async def test_what_is_refused_or_fails_has_a_span(tmp_path: Path) -> None:
    """Also where no route takes it, or it is no request; and the client gets the id of its trace."""
    middleware = "ip_allow: {none: {networks: [192.0.2.0/24], routes: [shut]}}\n"
    routes = (
        f"- {{id: shut, path: /shut, target: a:80}}\n- {{id: dead, path: /dead, target: '127.0.0.1:{free_port()}'}}\n"
    )
    with running_collector() as collector, gateway(tmp_path, collector, routes, middleware) as running:
        answers = [await get(running.port, path) for path in ("/shut", "/dead", "/nowhere")]
        answers.append(await exchange(running.port, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"))
        await asyncio.to_thread(collector.wait, 5)
    found = {span.trace_id.hex(): span for span in collector.spans if span.kind == SERVER}
    spans = [found[orjson.loads(answer.partition(b"\r\n\r\n")[2])["trace_id"]] for answer in answers]
    said = [attributes(span.attributes) for span in spans]
    assert [span.name for span in spans] == ["GET /shut", "GET /dead", "GET", "GET"]
    assert [each["http.response.status_code"] for each in said] == [403, 502, 404, 400]
    assert [each.get("error.type") for each in said] == [None, "upstream-refused", None, None]
    assert said[0]["gateway.refused_by"] == "ip_allow:none"
    assert [span.status.code for span in spans][1:3] == [Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET]
    assert "upstream-refused" in spans[1].status.message


async def test_names_have_no_more_values_than_there_are_routes(tmp_path: Path) -> None:
    """An unknown method, and the path of several by which a route was called."""
    async with backend() as behind:
        target = f"target: '127.0.0.1:{behind.port}'"
        routes = f"- {{id: two, paths: ['/a/{{x}}', '/b/{{x}}/*'], methods: [GET, BREW], {target}}}\n"
        with running_collector() as collector, gateway(tmp_path, collector, routes) as running:
            await get(running.port, "/b/1/2/3", method="BREW")
            await get(running.port, "/api/a/1")
            await asyncio.to_thread(collector.wait, 4)
    servers = sorted((s for s in collector.spans if s.kind == SERVER), key=lambda s: s.start_time_unix_nano)
    assert [span.name for span in servers] == ["HTTP /b/{x}/*", "GET /a/{x}"]
    found = attributes(servers[0].attributes)
    assert (found["http.request.method"], found["http.request.method_original"]) == ("_OTHER", "BREW")


async def test_a_stream_is_a_span_as_long_as_it_lasts(tmp_path: Path) -> None:
    """Not only until its head."""
    go_on = asyncio.Event()

    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"3\r\na\n\n\r\n")
        await go_on.wait()
        writer.write(b"3\r\nb\n\n\r\n0\r\n\r\n")
        await writer.drain()

    with running_collector() as collector:
        async with scripted_backend(events) as port:
            with gateway(tmp_path, collector, route(port)) as running:
                reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
                writer.write(b"GET /orders/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                await reader.readuntil(b"a\n\n")
                await asyncio.sleep(0.2)
                assert not collector.spans
                go_on.set()
                await reader.read()
                writer.close()
                await asyncio.to_thread(collector.wait, 2)
    for span in collector.spans:
        assert span.end_time_unix_nano - span.start_time_unix_nano > 0.2e9
        assert span.status.code == Status.STATUS_CODE_UNSET


async def test_a_stream_that_breaks_off_is_an_error_and_one_that_is_left_is_none(tmp_path: Path) -> None:
    """Whose doing it was decides."""
    held = asyncio.Event()

    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome")
        await writer.drain()
        if b"/orders/2" in head:
            await held.wait()

    with running_collector() as collector:
        async with scripted_backend(breaking) as port:
            with gateway(tmp_path, collector, route(port)) as running:
                await get(running.port, "/orders/1")
                reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
                writer.write(b"GET /orders/2 HTTP/1.1\r\nHost: a\r\n\r\n")
                await reader.readuntil(b"some")
                writer.close()
                await asyncio.to_thread(collector.wait, 4)
                held.set()
    found = {attributes(span.attributes)["url.path"]: span for span in collector.spans if span.kind == SERVER}
    broken, left = found["/orders/1"], found["/orders/2"]
    assert attributes(broken.attributes)["error.type"] == "upstream-reset"
    assert broken.status.code == Status.STATUS_CODE_ERROR
    assert attributes(left.attributes)["error.type"] == "client-gone"
    assert left.status.code == Status.STATUS_CODE_UNSET
    assert attributes(left.attributes)["http.response.status_code"] == 200
