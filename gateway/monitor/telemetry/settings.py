"""Settings of exports, by the configuration and by OpenTelemetry's variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from gateway.config.models.telemetry import Telemetry

Signal = Literal["traces", "metrics", "logs"]
Exporter = Literal["http", "grpc", "console"]

_VARIABLES: Final[Mapping[Signal, str]] = {"traces": "OTEL_BSP", "logs": "OTEL_BLRP"}
_EXPORT_TIMEOUTS: Final[Mapping[Signal, str]] = {
    "traces": "OTEL_BSP_EXPORT_TIMEOUT",
    "metrics": "OTEL_METRIC_EXPORT_TIMEOUT",
    "logs": "OTEL_BLRP_EXPORT_TIMEOUT",
}
_DELAYS: Final[Mapping[Signal, float]] = {"traces": 5.0, "logs": 1.0}  # seconds, as the specification has them
_LONGEST_DELAY: Final = 3600.0
_BATCHES: Final[Mapping[Signal, int]] = {"traces": 512, "logs": 32}
"""Records that are sent together. Lines are made ready by the SDK, all at once: so there are fewer than it takes."""
DEFAULT_TIMEOUT: Final = 10.0
DEFAULT_INTERVAL: Final = 60.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where records go. What is None is for the exporter, which asks OpenTelemetry's variables."""

    exporter: Exporter
    signal: Signal
    url: str | None
    headers: tuple[tuple[str, str], ...]
    timeout: float  # seconds
    resource: tuple[tuple[str, str], ...]

    @property
    def where(self) -> str:
        """The collector, for people."""
        if self.exporter == "console":
            return "the standard output"
        return f"the collector at {self.url}" if self.url else "the collector"

    @property
    def endpoint(self) -> str | None:
        """The address that the exporter takes."""
        if self.url is None or self.exporter != "http":
            return self.url
        return f"{self.url.rstrip('/')}/v1/{self.signal}"


@dataclass(frozen=True, slots=True)
class Batching:
    """How records wait, and how many are sent together."""

    delay: float  # seconds, until what has come is sent
    batch: int
    most: int  # that may wait
    most_bytes: int  # of them


@dataclass(frozen=True, slots=True)
class Form:
    """How metrics are sent."""

    interval: float  # seconds, between two readings
    exponential: bool  # histograms of durations have the buckets in which they are counted
    differences: bool  # what has come since the last reading, in the place of totals


def destination_of(config: Telemetry, signal: Signal, environment: Mapping[str, str]) -> Destination:
    """Where one signal goes."""
    headers = tuple((name, value.get_secret_value()) for name, value in config.headers.items())
    exporter = config.exporter or _exporter(signal, environment)
    timeout = config.timeout or _timeout(signal, environment)
    return Destination(exporter, signal, config.otlp, headers, timeout, tuple(config.resource.items()))


def _exporter(signal: Signal, environment: Mapping[str, str]) -> Exporter:
    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
    protocol = own or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    return "grpc" if protocol.strip().lower() == "grpc" else "http"


def _timeout(signal: Signal, environment: Mapping[str, str]) -> float:
    """Milliseconds, as in the specification; the SDK for Python would take seconds. That of an export is for all that
    is tried, which is what the other one is for here."""
    own = _number(environment, f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT")
    timeout = (own or _number(environment, "OTEL_EXPORTER_OTLP_TIMEOUT")) / 1000 or DEFAULT_TIMEOUT
    return min(timeout, _number(environment, _EXPORT_TIMEOUTS[signal]) / 1000 or timeout)


def batching_of(config: Telemetry, signal: Signal, environment: Mapping[str, str]) -> Batching:
    """How traces, or logs, wait for it."""
    prefix = _VARIABLES[signal]
    delay = _number(environment, f"{prefix}_SCHEDULE_DELAY") / 1000 or _DELAYS[signal]
    batch = int(_number(environment, f"{prefix}_MAX_EXPORT_BATCH_SIZE")) or _BATCHES[signal]
    most = int(_number(environment, f"{prefix}_MAX_QUEUE_SIZE")) or config.queue
    return Batching(min(delay, _LONGEST_DELAY), min(batch, most), most, config.queue)


def form_of(config: Telemetry, environment: Mapping[str, str]) -> Form:
    """How metrics are sent for it."""
    interval = config.interval or _number(environment, "OTEL_METRIC_EXPORT_INTERVAL") / 1000 or DEFAULT_INTERVAL
    wanted = "OTEL_EXPORTER_OTLP_METRICS"
    aggregation = environment.get(f"{wanted}_DEFAULT_HISTOGRAM_AGGREGATION", "").strip().lower()
    preference = environment.get(f"{wanted}_TEMPORALITY_PREFERENCE", "").strip().lower()
    return Form(interval, aggregation == "base2_exponential_bucket_histogram", preference in ("delta", "lowmemory"))


def _number(environment: Mapping[str, str], name: str) -> float:
    """The value of a variable; 0 where there is none, or none that is above 0."""
    try:
        value = float(environment.get(name, ""))
    except ValueError:
        return 0.0
    return value if 0 < value < 1e12 else 0.0
