"""The exporters of OpenTelemetry's SDK. This is imported on the threads that send, where that is configured."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from socket import gethostname
from typing import Any, Final
from uuid import uuid4

import requests
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.http.retry_after import seconds_to_wait
from gateway.monitor.telemetry.pipeline import Verdict
from gateway.monitor.telemetry.settings import Destination, Exporter, Signal

MOST_ANSWER: Final = 64 * 1024  # bytes of an answer that are read
SERVICE: Final = "gateway"
SCOPE: Final = InstrumentationScope("flowmaster-gateway", version("flowmaster-gateway"))

INSTANCE: Final = str(uuid4())
"""Identifies this process, so that its metrics are not merged with those of others."""

_OTLP: Final = "opentelemetry.exporter.otlp.proto"
_CLASSES: Final[dict[tuple[Exporter, Signal], tuple[str, str]]] = {
    ("http", "traces"): ("gateway.monitor.telemetry.http_spans", "HttpSpanExporter"),
    ("http", "metrics"): (f"{_OTLP}.http.metric_exporter", "OTLPMetricExporter"),
    ("http", "logs"): (f"{_OTLP}.http._log_exporter", "OTLPLogExporter"),
    ("grpc", "traces"): ("gateway.monitor.telemetry.grpc_spans", "GrpcSpanExporter"),
    ("grpc", "metrics"): (f"{_OTLP}.grpc.metric_exporter", "OTLPMetricExporter"),
    ("grpc", "logs"): (f"{_OTLP}.grpc._log_exporter", "OTLPLogExporter"),
    ("console", "traces"): ("opentelemetry.sdk.trace.export", "ConsoleSpanExporter"),
    ("console", "metrics"): ("opentelemetry.sdk.metrics.export", "ConsoleMetricExporter"),
    ("console", "logs"): ("opentelemetry.sdk._logs.export", "ConsoleLogRecordExporter"),
}
_ANSWERS: Final[dict[Signal, tuple[str, str, str]]] = {
    "traces": ("trace.v1.trace_service_pb2", "ExportTraceServiceResponse", "rejected_spans"),
    "metrics": ("metrics.v1.metrics_service_pb2", "ExportMetricsServiceResponse", "rejected_data_points"),
    "logs": ("logs.v1.logs_service_pb2", "ExportLogsServiceResponse", "rejected_log_records"),
}


class Exporting:
    """One exporter of the SDK, for one thread, and what its collector says."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._session: BoundedSession | None = None
        self._heard = _Heard()
        module, name = _CLASSES[destination.exporter, destination.signal]
        self._exporter: Any = getattr(import_module(module), name)(**self._arguments())
        self._heard.listen()

    def _arguments(self) -> dict[str, Any]:
        destination = self._destination
        if destination.exporter == "console":
            return {"out": sys.stdout, "formatter": _line}
        arguments: dict[str, Any] = {"endpoint": destination.endpoint, "timeout": destination.timeout}
        if destination.exporter == "http":
            self._session = arguments["session"] = BoundedSession()
            return arguments | {"headers": dict(destination.headers)}
        if destination.url is not None:
            arguments["insecure"] = destination.url.startswith("http:")
        headers = [(name.lower(), value) for name, value in destination.headers]
        return arguments | {"headers": headers or None}

    def resource(self) -> Resource:
        """Resource attributes: the configured ones, or else those of OpenTelemetry's variables."""
        own = Resource.create(dict(self._destination.resource))
        if str(own.attributes.get("service.name", "")).startswith("unknown_service"):
            own = own.merge(Resource({"service.name": SERVICE}))
        known = {"service.version": SCOPE.version or "", "service.instance.id": INSTANCE, "host.name": gethostname()}
        return Resource(known).merge(own)

    def export(self, items: Any, count: int) -> Verdict:
        """Send what the exporter takes, which is so many records."""
        self._heard.text = ""
        exporter = self._exporter
        if exporter is None:
            return Verdict(count, "the gateway ends")
        done = exporter.export(items).name == "SUCCESS"
        session = self._session
        if not done:
            said = session.said if session is not None else ""
            return Verdict(count, said or self._heard.text or "it failed", session.retry_after if session else 0.0)
        return self._rejected(session.content, count) if session is not None and session.content else Verdict()

    def _rejected(self, content: bytes, count: int) -> Verdict:
        """The verdict on records that were rejected in a successful answer."""
        module, name, field = _ANSWERS[self._destination.signal]
        answer = getattr(import_module(f"opentelemetry.proto.collector.{module}"), name)()
        try:
            answer.ParseFromString(content)
        except Exception:  # it need not be in OTLP's form
            return Verdict()
        rejected = min(max(getattr(answer.partial_success, field), 0), count)
        return Verdict(
            rejected, f"it rejected {rejected}: {answer.partial_success.error_message:.200}" if rejected else ""
        )

    def close(self) -> None:
        """Give up what is being sent. Safe to call again, and from another thread."""
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            self._heard.leave()
            exporter.shutdown()


def _line(item: Any) -> str:
    return f"{item.to_json(indent=None)}\n"


class BoundedSession(requests.Session):
    """Connections to a collector, which is not trusted: no redirect is followed, since what is
    sent has the headers that let it in; of an answer a little is read, and not for long."""

    def __init__(self) -> None:
        super().__init__()
        self.said = ""  # what was answered last, or why nothing was
        self.content = b""
        self.retry_after = 0.0  # seconds
        self.headers["Accept-Encoding"] = "identity"

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Raises requests.RequestException."""
        self.content, self.retry_after = b"", 0.0
        ends = time.monotonic() + (options.get("timeout") or 0.0)
        try:
            response = super().send(request, **(options | {"stream": True}))
            try:
                pieces: list[bytes] = []
                size = 0
                while piece := response.raw.read1(MOST_ANSWER):
                    pieces.append(piece)
                    size += len(piece)
                    if size > MOST_ANSWER or time.monotonic() > ends:
                        raise requests.RequestException("its answer does not end")
                self.content = b"".join(pieces)
            except BaseException:
                response.close()
                raise
        except Exception as error:
            self.said = _reason(error)
            raise
        asked = response.headers.get("Retry-After", "")
        self.retry_after = seconds_to_wait(asked.encode("latin-1", "replace"), time.time())
        self.said = f"it answers {response.status_code} {response.reason}"
        if 300 <= response.status_code < 400:
            self.said += ", a redirect, which is not followed"
            raise requests.RequestException(self.said)
        return response


def _reason(error: BaseException) -> str:
    """The root cause of an exception, without the wrapping of libraries."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


class _Heard(logging.Filter):
    """Suppress the SDK's log of this thread: it would log every batch, and the pipeline logs it once."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._thread = threading.get_ident()

    def listen(self) -> None:
        for logger in self._loggers():
            logger.addFilter(self)

    def leave(self) -> None:
        for logger in self._loggers():
            logger.removeFilter(self)

    def _loggers(self) -> Iterator[logging.Logger]:
        for name in list(logging.root.manager.loggerDict):
            if name.startswith("opentelemetry."):
                yield logging.getLogger(name)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        self.text = record.getMessage()
        return False
