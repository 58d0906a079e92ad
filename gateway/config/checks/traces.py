"""Settings of traces that have no effect, or another one than is probably meant."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault

_PATHS = ("/v1/traces", "/v1/metrics", "/v1/logs")


def _are_on(configuration: Configuration) -> bool:
    middleware = configuration.middleware
    exported = middleware.telemetry is not None and middleware.telemetry.traces and middleware.monitor.enabled
    said = middleware.trace.is_on
    return exported if said is None else said


def idle_on_routes(configuration: Configuration) -> Iterator[Fault]:
    """Routes that sample traces, where there are none."""
    if _are_on(configuration):
        return
    for index, route in enumerate(configuration.routes.routes):
        if route.trace is not None and configuration.says_itself(index, "trace"):
            message = "it has no effect: traces are off; add trace: {enabled: true} to middleware.yaml, or remove this"
            yield Fault(("routes", index, "trace"), message, show_value=False)


def exported_without_traces(configuration: Configuration) -> Iterator[Fault]:
    """Spans that are to be sent, where there are none."""
    middleware = configuration.middleware
    if middleware.telemetry is None or not middleware.telemetry.traces:
        return
    if not middleware.monitor.enabled or not _are_on(configuration):
        off = "trace.enabled" if middleware.monitor.enabled else "monitor.enabled"
        message = f"no span is sent: {off} is false; remove that, or add traces: false here"
        yield Fault(("telemetry",), message, show_value=False)


def misread_collector(configuration: Configuration) -> Iterator[Fault]:
    """A collector at which nothing arrives."""
    telemetry = configuration.middleware.telemetry
    if telemetry is None or telemetry.otlp is None:
        return
    if telemetry.exporter == "console":
        message = "it has no effect: exporter: console sends nothing; remove one of both"
        yield Fault(("telemetry", "otlp"), message, show_value=False)
    elif telemetry.exporter != "grpc" and telemetry.otlp.rstrip("/").endswith(_PATHS):
        message = "the path of each signal is added to it, so that nothing arrives; write it without /v1/..."
        yield Fault(("telemetry", "otlp"), message, show_value=False)


def sampled_without_export(configuration: Configuration) -> Iterator[Fault]:
    """Traces that backends record without their root span."""
    middleware = configuration.middleware
    exported = middleware.telemetry is not None and middleware.telemetry.traces
    if middleware.trace.sample and not exported and _are_on(configuration):
        message = "backends record these traces, but no span of the gateway is exported, so that their beginning is "
        message += "missing; add telemetry: {otlp: http://collector:4318}, or remove this"
        yield Fault(("trace", "sample"), message, show_value=False)
