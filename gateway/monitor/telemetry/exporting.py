"""Live exporters to a collector, by the group `telemetry`. Imported where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from gateway.config.load import ConfigError
from gateway.config.models import Configuration
from gateway.context import Context
from gateway.families import Family
from gateway.live import Place, Plan
from gateway.monitor.telemetry.exports import exported, is_disabled
from gateway.monitor.telemetry.log_record import LineRecord, LineSink
from gateway.monitor.telemetry.methods import ByMethod
from gateway.monitor.telemetry.pipeline import Pipeline
from gateway.monitor.telemetry.reading import Families, MetricReader, Reading
from gateway.monitor.telemetry.settings import (
    Batching,
    Destination,
    Form,
    batching_of,
    destination_of,
    form_of,
)
from gateway.monitor.telemetry.span_record import SpanRecord, SpanRecorder

if TYPE_CHECKING:
    from gateway.monitor.telemetry.lines import LineSender
    from gateway.monitor.telemetry.points import ReadingSender
    from gateway.monitor.telemetry.spans import SpanSender

READINGS: Final = Batching(0.05, 1, 2, 1)
"""Each is sent at once, and two may wait: what comes later has all that they had."""
PLACE: Final[Place] = ("middleware.yaml", ("telemetry",))


def span_recorder(context: Context, concealed: frozenset[bytes]) -> SpanRecorder | None:
    """What takes the exchanges that are recorded; None where no span is exported. `concealed`: headers that hold
    credentials. Raises ConfigError."""
    config = exported(context.configuration.middleware)
    if config is None:
        return None
    destination, batching = destination_of(config, "traces", os.environ), batching_of(config, "traces", os.environ)
    _check_packages(context.configuration, destination)

    def make() -> Pipeline[SpanRecord]:
        return Pipeline(destination, "request", batching, partial(_span_sender, destination))

    pipeline = context.plan.need(("telemetry", destination, batching), make, PLACE)
    recorder = context.plan.need("span recorder", SpanRecorder, PLACE)
    context.plan.after_adoption(lambda: recorder.go_on_in(pipeline, concealed))
    return recorder


def line_sink(configuration: Configuration, plan: Plan) -> LineSink | None:
    """The exporter of the access log; None if it is not exported. Raises ConfigError."""
    config = configuration.middleware.telemetry
    if config is None or not config.logs or is_disabled(os.environ):
        return None
    destination, batching = destination_of(config, "logs", os.environ), batching_of(config, "logs", os.environ)
    _check_packages(configuration, destination)

    def make() -> Pipeline[LineRecord]:
        return Pipeline(destination, "line", batching, partial(_line_sender, destination))

    return LineSink(plan.need(("telemetry", destination, batching), make, PLACE))


def plan_metrics(configuration: Configuration, plan: Plan, families: Families) -> ByMethod | None:
    """Export metrics, if configured. Answers what then has to count every exchange. Raises ConfigError."""
    config = configuration.middleware.telemetry
    if config is None or not config.metrics or is_disabled(os.environ):
        return None
    by_method = plan.need("telemetry by method", ByMethod, PLACE)
    destination, form = destination_of(config, "metrics", os.environ), form_of(config, os.environ)
    _check_packages(configuration, destination)

    def pipeline() -> Pipeline[Reading]:
        return Pipeline(destination, "reading", READINGS, partial(_reading_sender, destination, form))

    def together() -> Iterator[Family]:
        yield from by_method.families()  # in the place of those with the same names
        yield from families()

    def reader() -> MetricReader:
        made = plan.need(("telemetry", destination, form), pipeline, PLACE)
        return MetricReader(together, form.interval, made)

    living = plan.need(("telemetry reader", destination, form), reader, PLACE)
    paths = {route.id: route.all_paths[0] for route in configuration.routes.routes if len(route.all_paths) == 1}
    plan.after_adoption(lambda: living.know(paths))
    return by_method


def _check_packages(configuration: Configuration, destination: Destination) -> None:
    """Raises ConfigError where what an exporter needs is not installed."""
    if destination.exporter == "grpc" and find_spec("opentelemetry.exporter.otlp.proto.grpc") is None:
        message = (
            "OTLP over gRPC needs more packages: pip install 'flowmaster-gateway[otlp-grpc]'; or take exporter: http"
        )
        raise ConfigError([configuration.problem("middleware.yaml", ("telemetry", "exporter"), message)])


# The SDK is imported on the threads that send: few need it.


def _span_sender(destination: Destination) -> SpanSender:
    from gateway.monitor.telemetry.spans import SpanSender  # noqa: PLC0415

    return SpanSender(destination)


def _reading_sender(destination: Destination, form: Form) -> ReadingSender:
    from gateway.monitor.telemetry.points import ReadingSender  # noqa: PLC0415

    return ReadingSender(destination, form)


def _line_sender(destination: Destination) -> LineSender:
    from gateway.monitor.telemetry.lines import LineSender  # noqa: PLC0415

    return LineSender(destination)
