"""What senders make of records that requests have made as odd as they can."""

from __future__ import annotations

import random
import time

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Identity, Outcome
from gateway.http.messages import Attempt
from gateway.http.span import Span
from gateway.http.testing import make_exchange
from gateway.monitor.access_log import AccessLog, AccessLogSettings
from gateway.monitor.telemetry.lines import LineSender
from gateway.monitor.telemetry.log_record import LineRecord
from gateway.monitor.telemetry.settings import Destination
from gateway.monitor.telemetry.span_bytes import SpanBytes
from gateway.monitor.telemetry.span_record import record_of
from gateway.monitor.telemetry.spans import SpanSender

TEXT = st.text(max_size=20)
ANY = st.text(st.characters(), max_size=20)  # surrogates, too


class Kept:
    """A Recorder that keeps nothing."""

    def ended(self, span: Span, exchange: Exchange, outcome: Outcome) -> None:
        """See `Recorder`."""


def exchange_of(path: str, query: bytes, consumer: str, agent: bytes, detail: str) -> tuple[Exchange, Outcome, Span]:
    exchange = make_exchange("BREW", "/x")
    exchange.original_path = exchange.path = exchange.target_path = path
    exchange.query, exchange.fields[b"user-agent"], exchange.host = query, agent, path
    exchange.identity = Identity(consumer, "keys", consumer)
    exchange.error = GatewayError(ErrorKind.UPSTREAM_RESET, detail)
    exchange.trace_id = "a" * 32
    outcome = Outcome(time.time(), time.perf_counter(), 502)
    span = exchange.span = Span("a" * 32, "b" * 16, 3, Kept(), random.Random(), ("/a/{x}", "/b/{x:[0-9]+}"))
    span.begin(Attempt(path, time.perf_counter()), consumer, "http", [])
    return exchange, outcome, span


@given(TEXT, st.binary(max_size=40), ANY, st.binary(max_size=40), ANY)
def test_whatever_a_request_says_its_spans_can_be_sent(
    path: str, query: bytes, consumer: str, agent: bytes, detail: str
) -> None:
    """Otherwise it would take those of others with it. They are written as the SDK writes them."""
    exchange, outcome, span = exchange_of(path, query, consumer, agent, detail)
    record, size = record_of(span, exchange, outcome)
    sender = SpanSender(Destination("console", "traces", None, (), 1.0, ()))
    spans = list(sender.spans_of(record))
    written = SpanBytes(spans[0]).request(spans)
    assert ExportTraceServiceRequest.FromString(written) == encode_spans(spans)
    assert size > len(path)


@given(
    st.text(max_size=300),
    st.dictionaries(
        TEXT,
        st.text(max_size=300) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
        max_size=8,
    ),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.none() | st.booleans(),
)
def test_spans_are_written_as_the_sdk_writes_them(
    text: str, attributes: dict[str, str | bool | int | float], number: int, failed: bool, remote: bool | None
) -> None:
    """Whatever values they have; with and without parent, state and description."""
    state = TraceState([("a", "1"), ("b", "2")]) if failed else None
    context = SpanContext(number << 64 | 1, number, False, TraceFlags(1), state)
    parent = None if remote is None else SpanContext(number << 64 | 1, 7, remote)
    spans = [
        ReadableSpan(
            text,
            context,
            parent,
            attributes=attributes,
            kind=kind,
            status=Status(StatusCode.ERROR, text) if failed else Status(StatusCode.UNSET),
            start_time=number,
            end_time=number,
        )
        for kind in (SpanKind.SERVER, SpanKind.CLIENT)
    ]
    written = SpanBytes(spans[0]).request(spans)
    assert ExportTraceServiceRequest.FromString(written) == encode_spans(spans)


@given(TEXT, st.binary(max_size=40), ANY, st.binary(max_size=40), ANY)
def test_whatever_a_request_says_its_line_can_be_sent(
    path: str, query: bytes, consumer: str, agent: bytes, detail: str
) -> None:
    """The same of the access log."""
    exchange, outcome, span = exchange_of(path, query, consumer, agent, detail)
    lines: list[bytes] = []
    log = AccessLog(AccessLogSettings("off"))
    log.sink = lambda line, exchange, outcome: lines.append(line)
    log.report(exchange, outcome)
    log.close()
    record = LineRecord(lines[0], 1.0, 1.0, 502, "GET", path, span.trace, span.id, 1)
    sender = LineSender(Destination("console", "logs", None, (), 1.0, ()))
    assert len(encode_logs([sender.made_of(record)]).SerializeToString()) > 0
