"""The SDK's exporter of spans over gRPC, with our own way to write them. Imported where it is configured."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan

from gateway.monitor.telemetry.span_bytes import SpanBytes


class GrpcSpanExporter(OTLPSpanExporter):
    """Address, headers, TLS and what is tried again are the SDK's, which wants a message: it is read in no time."""

    _bytes: SpanBytes | None = None

    def _translate_data(self, data: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        self._bytes = self._bytes or SpanBytes(data[0])
        message = ExportTraceServiceRequest()
        message.ParseFromString(self._bytes.request(data))
        return message
