"""What OpenTelemetry's variables say of the exports."""

from __future__ import annotations

import pytest

from gateway.config.models.telemetry import Telemetry
from gateway.monitor.telemetry.settings import Destination, Signal, destination_of
from gateway.monitor.telemetry.span_record import record_of
from gateway.monitor.telemetry.spans import SpanSender
from tests.monitor.telemetry.test_senders import exchange_of


@pytest.mark.parametrize(
    ("signal", "variables", "seconds"),
    [
        ("traces", {}, 10.0),
        ("traces", {"OTEL_BSP_EXPORT_TIMEOUT": "30000"}, 10.0),
        ("traces", {"OTEL_BSP_EXPORT_TIMEOUT": "2000"}, 2.0),
        ("logs", {"OTEL_BLRP_EXPORT_TIMEOUT": "2500", "OTEL_BSP_EXPORT_TIMEOUT": "1"}, 2.5),
        ("metrics", {"OTEL_METRIC_EXPORT_TIMEOUT": "5000", "OTEL_EXPORTER_OTLP_TIMEOUT": "4000"}, 4.0),
        ("traces", {"OTEL_BSP_EXPORT_TIMEOUT": "soon"}, 10.0),
    ],
)
def test_an_export_takes_no_longer_than_any_of_them_says(
    signal: Signal, variables: dict[str, str], seconds: float
) -> None:
    """The batch has a time limit of its own, which is for all that is tried."""
    assert destination_of(Telemetry(), signal, variables).timeout == seconds
    assert destination_of(Telemetry(timeout="7s"), signal, variables).timeout == 7.0  # type: ignore[arg-type]


def test_spans_have_no_more_attributes_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that are too many the first go, and are counted; long texts are cut."""
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "5")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4")
    exchange, outcome, span = exchange_of("/long/path", b"a=1", "consumer", b"agent", "detail")
    sender = SpanSender(Destination("console", "traces", None, (), 1.0, ()))
    for made in sender.spans_of(record_of(span, exchange, outcome)[0]):
        attributes = made.attributes or {}
        assert len(attributes) == 5
        assert made.dropped_attributes > 0
        assert all(len(value) <= 4 for value in attributes.values() if isinstance(value, str))
