"""A collector: it takes OTLP over HTTP, with configurable answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support import until

Attributes = dict[str, object]
Answer = Callable[["Handler"], None]


class Collector:
    """What has come. `answer` may answer a request itself; what it takes is not kept."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.metrics: dict[str, Metric] = {}  # the last of each name
        self.logs: list[LogRecord] = []
        self.resource: Attributes = {}
        self.headers: list[dict[str, str]] = []
        self.requests = 0
        self.answer: Answer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def take(self, path: str, body: bytes) -> None:
        """Keep what was sent."""
        if path.endswith("/v1/traces"):
            for traces in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = attributes(traces.resource.attributes)
                self.spans += [span for scope in traces.scope_spans for span in scope.spans]
        elif path.endswith("/v1/metrics"):
            for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.resource = attributes(metrics.resource.attributes)
                self.metrics |= {metric.name: metric for scope in metrics.scope_metrics for metric in scope.metrics}
        elif path.endswith("/v1/logs"):
            for logs in ExportLogsServiceRequest.FromString(body).resource_logs:
                self.logs += [record for scope in logs.scope_logs for record in scope.log_records]

    def wait(self, spans: int, *, kind: Span.SpanKind.ValueType | None = None) -> list[Span]:
        """So many spans, in the order in which they began."""

        def found() -> list[Span]:
            return [span for span in self.spans if kind is None or span.kind == kind]

        until(lambda: len(found()) >= spans, message=f"{spans} spans did not come, only {self.spans}")
        return sorted(found(), key=lambda span: (span.start_time_unix_nano, span.kind))


class Handler(BaseHTTPRequestHandler):
    """One connection to it."""

    protocol_version = "HTTP/1.1"
    collector: Collector

    def do_POST(self) -> None:
        """Take what is sent."""
        collector = self.collector
        collector.requests += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        if collector.answer is not None:
            collector.answer(self)
            return
        collector.headers.append({name.lower(): value for name, value in self.headers.items()})
        collector.take(self.path, body)
        self.reply(200)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer so."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Its threads do not outlive the test."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that were cut off."""


@contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector on a port of its own."""
    collector = Collector()
    handler = type("Handler", (Handler,), {"collector": collector})
    server = Server(("127.0.0.1", 0), handler)
    collector.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


def attributes(pairs: object) -> Attributes:
    """Attributes as a mapping."""
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}  # type: ignore[attr-defined]


def _value(value: AnyValue) -> object:
    return getattr(value, value.WhichOneof("value") or "string_value")
