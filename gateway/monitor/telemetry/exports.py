"""Export to a collector: what does it is imported for those who have the group `telemetry`.

A thread imports it before the loop makes anything of it (`server/parts.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from gateway.config.models import Configuration, MiddlewareFile
from gateway.config.models.telemetry import Telemetry
from gateway.context import Context
from gateway.families import Family
from gateway.live import Plan

if TYPE_CHECKING:
    from gateway.monitor.telemetry.log_record import LineSink
    from gateway.monitor.telemetry.methods import ByMethod
    from gateway.monitor.telemetry.span_record import SpanRecorder


def is_disabled(environment: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry is turned off for this process."""
    return environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def exported(middleware: MiddlewareFile) -> Telemetry | None:
    """Where spans are exported; None where none is."""
    config = middleware.telemetry
    if config is None or not config.traces or not middleware.monitor.enabled or is_disabled(os.environ):
        return None
    return config


def span_recorder(context: Context, concealed: frozenset[bytes]) -> SpanRecorder | None:
    """What takes the exchanges that are recorded; None where no span is exported. `concealed`: headers that hold
    credentials. Raises ConfigError."""
    if context.configuration.middleware.telemetry is None:
        return None
    from gateway.monitor.telemetry import exporting  # noqa: PLC0415

    return exporting.span_recorder(context, concealed)


def line_sink(configuration: Configuration, plan: Plan) -> LineSink | None:
    """The exporter of the access log; None if it is not exported. Raises ConfigError."""
    if configuration.middleware.telemetry is None:
        return None
    from gateway.monitor.telemetry import exporting  # noqa: PLC0415

    return exporting.line_sink(configuration, plan)


def plan_metrics(configuration: Configuration, plan: Plan, families: Callable[[], Iterable[Family]]) -> ByMethod | None:
    """Export metrics, if configured. Answers what then has to count every exchange. Raises ConfigError."""
    if configuration.middleware.telemetry is None:
        return None
    from gateway.monitor.telemetry import exporting  # noqa: PLC0415

    return exporting.plan_metrics(configuration, plan, families)
