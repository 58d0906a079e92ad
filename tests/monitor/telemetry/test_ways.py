"""Spans of all the ways that a request can take: a tunnel, a second attempt beside the first, another service, a
copy, an application in this process, and a whole chain of proxies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.deploy.programs import require
from tests.monitor.telemetry.collector import attributes, running_collector
from tests.monitor.telemetry.test_spans import CLIENT, PARENT, SERVER, TRACE, backend, gateway, get, route
from tests.support import eventually, free_port, read_head, running_gateway, scripted_backend, until


def children(spans: list[Span], parent: Span) -> list[Span]:
    """In the order in which they began."""
    found = [span for span in spans if span.parent_span_id == parent.span_id]
    return sorted(found, key=lambda span: span.start_time_unix_nano)


async def test_a_websocket_is_a_span_until_it_is_closed(tmp_path: Path) -> None:
    """On both sides, and the backend got the client span with the handshake."""
    parent_ids: list[str] = []

    async def echo(server: ServerConnection) -> None:
        assert server.request is not None
        parent_ids.append(server.request.headers["traceparent"])
        async for message in server:
            await server.send(message)

    with running_collector() as collector:
        async with serve(echo, "127.0.0.1", 0) as behind:
            port = next(iter(behind.sockets)).getsockname()[1]
            with gateway(tmp_path, collector, route(port)) as running:
                async with connect(f"ws://127.0.0.1:{running.port}/orders/1", proxy=None) as client:
                    await client.send("hello")
                    assert await client.recv() == "hello"
                    await asyncio.sleep(0.1)
                    assert not collector.spans
                await asyncio.to_thread(collector.wait, 2)
    server, client_span = sorted(collector.spans, key=lambda span: span.kind)
    assert parent_ids == [f"00-{server.trace_id.hex()}-{client_span.span_id.hex()}-03"]
    for span in (server, client_span):
        assert attributes(span.attributes)["http.response.status_code"] == 101
        assert span.end_time_unix_nano - span.start_time_unix_nano > 0.1e9
        assert span.status.code == Status.STATUS_CODE_UNSET


async def test_a_second_attempt_beside_the_first_is_a_span(tmp_path: Path) -> None:
    """The one that was too slow is not taken for a failure."""
    slow_heads: list[bytes] = []
    fast_heads: list[bytes] = []

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        slow_heads.append(await read_head(reader))
        await reader.read()

    async def at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            fast_heads.append(await read_head(reader))
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with scripted_backend(never) as one, scripted_backend(at_once) as other:
        routes = (
            f"services: {{s: {{endpoints: ['127.0.0.1:{one}', '127.0.0.1:{other}'], balance: round_robin}}}}\n"
            "routes:\n- {id: all, path: '/*', target: s, hedge: {after: 50ms}}\n"
        )
        with running_collector() as collector, gateway(tmp_path, collector, routes) as running:
            assert b" 204 " in await get(running.port, "/")
            await asyncio.to_thread(collector.wait, 3)
            await eventually(lambda: bool(slow_heads))
    (server,) = (span for span in collector.spans if span.kind == SERVER)
    slow, fast = children(collector.spans, server)
    assert attributes(slow.attributes)["gateway.cancelled"] is True
    assert attributes(slow.attributes)["gateway.why_next"] == "hedged"
    assert attributes(fast.attributes)["http.request.resend_count"] == 1
    assert attributes(fast.attributes)["http.response.status_code"] == 204
    assert {slow.status.code, fast.status.code} == {Status.STATUS_CODE_UNSET}
    assert slow.span_id.hex().encode() in slow_heads[0]
    assert fast.span_id.hex().encode() in fast_heads[0]


async def test_another_service_in_the_place_of_one_that_fails_is_a_span(tmp_path: Path) -> None:
    """It is the second attempt of the same request."""
    with running_collector() as collector:
        async with backend() as other:
            more = f", fallback: {{target: '127.0.0.1:{other.port}'}}"
            with gateway(tmp_path, collector, route(free_port(), more)) as running:
                assert b" 200 " in await get(running.port, "/orders/1")
                await asyncio.to_thread(collector.wait, 3)
    (server,) = (span for span in collector.spans if span.kind == SERVER)
    first, second = children(collector.spans, server)
    assert attributes(first.attributes)["error.type"] == "upstream-refused"
    assert attributes(second.attributes)["http.request.resend_count"] == 1
    assert attributes(second.attributes)["gateway.upstream"] == f"127.0.0.1:{other.port}"
    assert other.parents() == [(server.trace_id.hex(), second.span_id.hex(), "03")]


async def test_a_mirror_is_no_span_but_knows_whose_child_it_is(tmp_path: Path) -> None:
    """The server span, which is exported."""
    with running_collector() as collector:
        async with backend() as behind, backend() as mirror:
            more = f", mirror: {{target: '127.0.0.1:{mirror.port}'}}"
            with gateway(tmp_path, collector, route(behind.port, more)) as running:
                await get(running.port, "/orders/1")
                await eventually(lambda: len(mirror.heads) == 1)
                await asyncio.to_thread(collector.wait, 2)
    (server,) = (span for span in collector.spans if span.kind == SERVER)
    assert len(children(collector.spans, server)) == 1
    assert mirror.parents() == [(server.trace_id.hex(), server.span_id.hex(), "03")]


async def test_an_application_in_this_process_gets_its_span(tmp_path: Path) -> None:
    """As any backend."""
    code = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError
    parent = dict(scope["headers"])[b"traceparent"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": parent})
"""
    (tmp_path / "told_its_span.py").write_text(code)
    routes = "- {id: app, path: '/*', target: 'asgi:told_its_span:app'}\n"
    with running_collector() as collector:
        middleware = f"telemetry: {{otlp: '{collector.url}'}}\ntrace: {{sample: 1}}\n"
        environment = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}", "OTEL_BSP_SCHEDULE_DELAY": "20"}
        with running_gateway(tmp_path, routes, middleware, environment=environment) as running:
            answer = await get(running.port, "/")
            await asyncio.to_thread(collector.wait, 2)
    (client,) = (span for span in collector.spans if span.kind == CLIENT)
    assert f"00-{client.trace_id.hex()}-{client.span_id.hex()}-03".encode() in answer
    assert "url.full" not in attributes(client.attributes)


@contextmanager
def nginx(directory: Path, target: int) -> Iterator[int]:
    """An nginx that begins traces, all of them recorded, in front of a port."""
    port = free_port()
    directory.mkdir()
    (directory / "nginx.conf").write_text(
        f"""daemon off; master_process off; pid {directory}/pid; error_log stderr notice;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/a; proxy_temp_path {directory}/b; fastcgi_temp_path {directory}/c;
    uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{target};
            proxy_http_version 1.1;
            proxy_set_header traceparent "00-{TRACE}-{PARENT}-01";
            proxy_set_header tracestate "nginx=1";
            proxy_set_header baggage "shop=3";
        }}
    }}
}}
"""
    )
    command = [require("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port), message="nginx does not start")
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        httpx2.get(f"http://127.0.0.1:{port}/health/live", trust_env=False)
    except httpx2.TransportError:
        return False
    return True


async def test_a_trace_goes_through_nginx_and_gateway_to_the_backend(tmp_path: Path) -> None:
    """nginx's span is the parent of ours, and ours that of the backend's; a stranger beside it is not believed."""
    auth = "trusted_proxies: [127.0.0.1]\n"
    async with backend() as behind:
        with running_collector() as collector:
            middleware = f"telemetry: {{otlp: '{collector.url}'}}\ntrace: {{sample: 0}}\n"
            environment = {"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_SERVICE_NAME": "edge"}
            with (
                running_gateway(tmp_path, route(behind.port), middleware, auth, environment=environment) as running,
                nginx(tmp_path / "nginx", running.port) as port,
            ):
                await asyncio.to_thread(httpx2.get, f"http://127.0.0.1:{port}/orders/1", trust_env=False)
                await asyncio.to_thread(collector.wait, 2)
    server, client = sorted(collector.spans, key=lambda span: span.kind)
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, PARENT)
    assert client.parent_span_id == server.span_id
    assert behind.parents() == [(TRACE, client.span_id.hex(), "01")]
    assert "tracestate: nginx=1" in behind.heads[0]
    assert "baggage: shop=3" in behind.heads[0]
    assert collector.resource["service.name"] == "edge"


class GrpcCollector(TraceServiceServicer):
    """The same over gRPC."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metadata: dict[str, str] = {}

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: N802
        """Take them."""
        self.metadata = dict(context.invocation_metadata())
        for traces in request.resource_spans:
            self.spans += [span for scope in traces.scope_spans for span in scope.spans]
        return ExportTraceServiceResponse()


async def test_spans_go_over_grpc_where_that_is_wanted(tmp_path: Path) -> None:
    """To a collector that speaks nothing else, with the headers that it wants."""
    collector = GrpcCollector()
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    async with backend() as behind:
        middleware = (
            f"telemetry: {{otlp: 'http://127.0.0.1:{port}', exporter: grpc, headers: {{X-Token: abc}}}}\n"
            "trace: {sample: 1}\n"
        )
        environment = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
        with running_gateway(tmp_path, route(behind.port), middleware, environment=environment) as running:
            await get(running.port, "/orders/1")
            await eventually(lambda: len(collector.spans) == 2)
    server.stop(None)
    assert {span.kind for span in collector.spans} == {SERVER, CLIENT}
    assert collector.metadata["x-token"] == "abc"


async def test_spans_can_be_written_instead_of_sent(tmp_path: Path) -> None:
    """One line for each, on the standard output."""
    async with backend() as behind:
        middleware = "telemetry: {exporter: console}\ntrace: {sample: 1}\naccess_log: {output: 'off'}\n"
        environment = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
        with running_gateway(tmp_path, route(behind.port), middleware, environment=environment) as running:
            await get(running.port, "/orders/1")
            await eventually(lambda: running.access_log.count("\n") == 2)
            lines = [orjson.loads(line) for line in running.access_log.splitlines()]
    assert [line["kind"] for line in lines] == ["SpanKind.SERVER", "SpanKind.CLIENT"]
    assert lines[0]["context"]["span_id"] == lines[1]["parent_id"]
