"""The SDK's exporter of spans over HTTP, with our own way to write them. Imported where it is configured."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from gateway.monitor.telemetry.span_bytes import SpanBytes


class HttpSpanExporter(OTLPSpanExporter):
    """Address, headers, compression, TLS and what is tried again are the SDK's."""

    _bytes: SpanBytes | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send at least one."""
        client = getattr(self, "_client", None)
        if client is None:  # another version of the SDK keeps it elsewhere
            return super().export(spans)
        self._bytes = self._bytes or SpanBytes(spans[0])
        done: bool = client.export(self._bytes.request(spans)).success
        return SpanExportResult.SUCCESS if done else SpanExportResult.FAILURE
