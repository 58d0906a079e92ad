"""Traces that are configured, and do nothing."""

from __future__ import annotations

import pytest

from gateway.config.checks.traces import (
    exported_without_traces,
    idle_on_routes,
    misread_collector,
    sampled_without_export,
)
from tests.config.support import parsed

ROUTES = "routes: [{path: /x, target: 'b:1', trace: 10%}]"


@pytest.mark.parametrize(
    ("middleware", "warned"),
    [
        ("", True),
        ("trace: {enabled: false, sample: 1%}", True),
        ("telemetry: {traces: false}", True),
        ("trace: {trust: never}", False),
        ("telemetry: {}", False),
    ],
)
def test_a_share_of_a_route_where_there_are_no_traces(middleware: str, warned: bool) -> None:
    """A setting without effect gives a warning."""
    assert bool(list(idle_on_routes(parsed(ROUTES, middleware=middleware)))) is warned


def test_an_export_without_traces() -> None:
    """One of the two is a mistake."""
    assert list(exported_without_traces(parsed(ROUTES, middleware="telemetry: {}\ntrace: {enabled: false}")))
    assert not list(exported_without_traces(parsed(ROUTES, middleware="telemetry: {}")))
    off = "telemetry: {}\ntrace: {enabled: true}\nmonitor: {enabled: false}"
    (fault,) = exported_without_traces(parsed(ROUTES, middleware=off))
    assert "monitor.enabled is false" in fault.message
    silent = "telemetry: {traces: false}\ntrace: {enabled: false}"
    assert not list(exported_without_traces(parsed(ROUTES, middleware=silent)))


@pytest.mark.parametrize(
    ("middleware", "warned"),
    [("trace: {sample: 1%}", True), ("trace: {sample: 0}", False), ("trace: {sample: 1%}\ntelemetry: {}", False)],
)
def test_traces_without_their_beginning(middleware: str, warned: bool) -> None:
    """Backends would record what has no root."""
    assert bool(list(sampled_without_export(parsed(ROUTES, middleware=middleware)))) is warned


@pytest.mark.parametrize(
    ("telemetry", "warned"),
    [
        ("{otlp: 'http://c:4318'}", False),
        ("{otlp: 'http://c:4318/v1/traces'}", True),
        ("{otlp: 'http://c:4318/v1/metrics/'}", True),
        ("{otlp: 'http://c:4318/tenant'}", False),
        ("{otlp: 'http://c:4318', exporter: console}", True),
        ("{exporter: console}", False),
    ],
)
def test_a_collector_at_which_nothing_arrives(telemetry: str, warned: bool) -> None:
    """Its URL is without the paths of signals, which are added."""
    assert bool(list(misread_collector(parsed(ROUTES, middleware=f"telemetry: {telemetry}")))) is warned
