"""The record of an access log line until it is sent to a collector."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.http import Exchange, Outcome
from gateway.monitor.telemetry.pipeline import Pipeline

_EMPTY_SIZE: Final = 300  # bytes of a record, without its line


class LineRecord(NamedTuple):
    """One line."""

    line: bytes  # JSON
    at: float  # Unix time
    seconds: float
    status: int
    method: str
    path: str
    trace: str  # 32 hexadecimal digits, or empty
    span: str  # 16 hexadecimal digits, or empty
    flags: int


class LineSink:
    """Puts lines of the access log into a pipeline."""

    def __init__(self, pipeline: Pipeline[LineRecord]) -> None:
        self._pipeline = pipeline

    def __call__(self, line: bytes, exchange: Exchange, outcome: Outcome) -> None:
        """See `Sink` of the access log."""
        span = exchange.span
        own, flags = ("", 0) if span is None else (span.id, span.flags)
        trace, path = exchange.trace_id or "", exchange.path[:200]
        record = LineRecord(
            line, outcome.at, outcome.seconds, outcome.status, exchange.method[:200], path, trace, own, flags
        )
        self._pipeline.put(record, _EMPTY_SIZE + len(line) + len(path))
