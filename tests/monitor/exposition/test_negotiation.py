"""Which form of the page a scraper gets."""

from __future__ import annotations

import pytest

from gateway.monitor.exposition.negotiation import PROTOBUF, TEXT, negotiated

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("", TEXT.name),
        ("*/*", TEXT.name),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT.name),
        ("application/json", TEXT.name),
        ("text/plain", TEXT.name),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        (
            "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPENMETRICS.replace("1.0.0", "0.0.1"),
        ),
        # Prometheus 3, without and with native histograms.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;"
            "version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OPENMETRICS,
        ),
        (
            f"{_PROTOBUF};q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.2",
            PROTOBUF,
        ),
        (f"text/plain;version=0.0.4;q=0.6,{_PROTOBUF};q=0.5", TEXT.name),
        ("application/vnd.google.protobuf;proto=other.Message;encoding=delimited,text/plain;q=0.1", TEXT.name),
        (_PROTOBUF.replace("delimited", "text"), TEXT.name),
        (f"{_PROTOBUF};q=0,text/plain;q=0.1", TEXT.name),
        ("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", TEXT.name),
        ("application/openmetrics-text;q=NaN,text/plain;q=0.1", TEXT.name),
        ("application/openmetrics-text;q=2", TEXT.name),
        (';;;,,;q=;=,application/openmetrics-text;version="1.0.0";q=0.001', OPENMETRICS),
        ("x/y," * 100_000 + "application/openmetrics-text", TEXT.name),
    ],
)
def test_it_is_what_accept_asks_for(accept: str, name: str) -> None:
    """The form with the highest weight among those that there are, and text where there is none of them."""
    assert negotiated(accept).name == name
