"""Lines of the access log as log records of OpenTelemetry's SDK. Imported on the thread that sends them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import orjson
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from gateway.http.redaction import without_userinfo
from gateway.monitor.exposition.form import unicode
from gateway.monitor.telemetry.exporters import SCOPE, Exporting
from gateway.monitor.telemetry.log_record import LineRecord
from gateway.monitor.telemetry.pipeline import Verdict
from gateway.monitor.telemetry.settings import Destination
from gateway.monitor.telemetry.turns import in_turns

EVENT: Final = "gateway.access"
TOGETHER: Final = 16  # lines that are made into records in one turn of the interpreter


class LineSender:
    """Sends lines as log records. A Sender, for one thread."""

    def __init__(self, destination: Destination) -> None:
        self._exporting = Exporting(destination)
        self._resource = self._exporting.resource()

    def send(self, records: Sequence[LineRecord]) -> Verdict:
        """See `Sender`."""
        made = [self.made_of(record) for record in in_turns(records, TOGETHER)]
        return self._exporting.export(made, len(made))

    def close(self) -> None:
        """See `Sender`."""
        self._exporting.close()

    def made_of(self, record: LineRecord) -> ReadableLogRecord:
        """The fields of the line are its attributes, but for those that are not known."""
        line = record.line
        try:
            fields: dict[str, Any] = orjson.loads(line)
        except orjson.JSONDecodeError:  # text that is no Unicode, as the name of a consumer may be that a token has
            fields = _cleaned(json.loads(line))
        failed = record.status >= 500
        # The trace of the request. A span of it is named only where there is one that is exported.
        span = SpanContext(int(record.trace or "0", 16), int(record.span or "0", 16), False, TraceFlags(record.flags))
        return ReadableLogRecord(
            LogRecord(
                timestamp=int(record.at * 1e9),
                observed_timestamp=int((record.at + record.seconds) * 1e9),
                context=set_span_in_context(NonRecordingSpan(span), Context()),
                severity_text="ERROR" if failed else "INFO",
                severity_number=SeverityNumber.ERROR if failed else SeverityNumber.INFO,
                body=unicode(f"{record.method} {without_userinfo(record.path)} {record.status}"),
                attributes={name: value for name, value in fields.items() if value is not None},
                event_name=EVENT,
            ),
            self._resource,
            SCOPE,
        )


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cleaned(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    return unicode(value) if isinstance(value, str) else value
