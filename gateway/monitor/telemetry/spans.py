"""Records of exchanges as spans of OpenTelemetry's SDK. Imported on the thread that sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from gateway.http.span import Tried
from gateway.monitor.exposition.form import unicode
from gateway.monitor.telemetry.conventions import (
    CLIENT,
    OTHER_METHOD,
    SERVER,
    client_error,
    method_of,
    server_error,
    template_of,
)
from gateway.monitor.telemetry.exporters import SCOPE, Exporting
from gateway.monitor.telemetry.genai import GENAI, Value
from gateway.monitor.telemetry.pipeline import Verdict
from gateway.monitor.telemetry.settings import Destination
from gateway.monitor.telemetry.span_record import SpanRecord, ended_after
from gateway.monitor.telemetry.turns import in_turns

TOGETHER: Final = 32  # records that are made into spans in one turn of the interpreter
MOST_ATTRIBUTES: Final = 64  # no span has more

_UNSET: Final = Status(StatusCode.UNSET)
_ERROR: Final = Status(StatusCode.ERROR)


class SpanSender:
    """Sends records as spans. A Sender, for one thread."""

    def __init__(self, destination: Destination) -> None:
        self._exporting = Exporting(destination)
        self._resource = self._exporting.resource()
        limits = SpanLimits()  # of OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT and so on
        self._most, self._longest = limits.max_span_attributes, limits.max_span_attribute_length
        self._bounded = self._longest is not None or (self._most is not None and self._most < MOST_ATTRIBUTES)

    def send(self, records: Sequence[SpanRecord]) -> Verdict:
        """See `Sender`."""
        spans: list[ReadableSpan] = []
        for record in in_turns(records, TOGETHER):
            spans += self.spans_of(record)
        verdict = self._exporting.export(spans, len(spans))
        return verdict._replace(lost=round(verdict.lost * len(records) / max(1, len(spans))))

    def close(self) -> None:
        """See `Sender`."""
        self._exporting.close()

    def spans_of(self, record: SpanRecord) -> Iterator[ReadableSpan]:
        """The server span, and those of the attempts."""
        own = record.span
        trace, flags = int(own.trace, 16), TraceFlags(own.flags)
        state = TraceState.from_header([own.state.decode()]) if own.state else None
        context = SpanContext(trace, int(own.id, 16), False, flags, state)
        parent = SpanContext(trace, int(own.parent, 16), True, flags, state) if own.parent else None
        began = int(record.at * 1e9)
        ended = began + int(record.seconds * 1e9)
        method = method_of(record.method)
        method = "HTTP" if method == OTHER_METHOD else method
        template = template_of(record)
        attributes = _known(SERVER, record)
        if record.model is not None:
            model = record.model
            attributes |= _known(GENAI, model)
        failed = record.status >= 500 or (server_error(record) is not None and not record.gone)
        status = (Status(StatusCode.ERROR, unicode(record.why)) if record.why else _ERROR) if failed else _UNSET
        name = f"{method} {template}" if template else method
        yield self._span(name, context, parent, SpanKind.SERVER, attributes, status, began, ended)
        for number, tried in enumerate(record.attempts):
            yield self._attempt(
                record, tried, number, SpanContext(trace, int(tried.id, 16), False, flags, state), context, began
            )

    def _attempt(
        self, record: SpanRecord, tried: Tried, number: int, context: SpanContext, parent: SpanContext, at: int
    ) -> ReadableSpan:
        attempt = tried.attempt
        after = attempt.started - record.started  # seconds
        began = at + int(after * 1e9)
        ended = began + int(ended_after(attempt, max(0.0, record.seconds - after)) * 1e9)
        attributes = _known(CLIENT, record, tried, number)
        method = method_of(record.method)
        name = "HTTP" if method == OTHER_METHOD else method
        status = _UNSET if client_error(attempt) is None else _ERROR
        return self._span(name, context, parent, SpanKind.CLIENT, attributes, status, began, ended)

    def _span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, Value],
        status: Status,
        began: int,
        ended: int,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            BoundedAttributes(self._most, attributes, max_value_len=self._longest) if self._bounded else attributes,
            kind=kind,
            status=status,
            start_time=began,
            end_time=ended,
            instrumentation_scope=SCOPE,
        )


def _known(table: Mapping[str, Callable[..., Value | None]], *of: object) -> dict[str, Value]:
    """Those attributes of a table that there are, as texts that can be sent: the name of a consumer may be what a token
    says."""
    known: dict[str, Value] = {}
    for name, get in table.items():
        value = get(*of)
        if value is not None:
            known[name] = unicode(value) if isinstance(value, str) else value
    return known
