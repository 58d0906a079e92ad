"""middleware.yaml: what is sent to an OpenTelemetry collector."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from gateway.config.models.base import Model
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Text, Unset, or_empty
from gateway.config.values.quantities import Duration, Size

HeaderSecret = Annotated[SecretStr, Kind("text")]


class Telemetry(Model):
    """Traces, metrics and access logs for an OpenTelemetry collector, beside requests: none waits for it, whatever it
    does. docs/tracing.md describes them. What is not set here is taken from OpenTelemetry's own variables
    (`OTEL_EXPORTER_OTLP_*`, `OTEL_BSP_*`, `OTEL_SERVICE_NAME`, ...); `OTEL_SDK_DISABLED=true` turns all of it off."""

    otlp: Unset[addresses.HttpUrl] = Field(
        None,
        description="Where the collector is. Over HTTP `/v1/traces`, `/v1/metrics` and `/v1/logs` follow behind it. "
        "Unset: `OTEL_EXPORTER_OTLP_ENDPOINT`, or this machine.",
        examples=["http://collector:4318"],
    )
    exporter: Unset[Literal["http", "grpc", "console"]] = Field(
        None,
        description="`http`: OTLP over HTTP. `grpc`: OTLP over gRPC, which needs `pip install "
        "'flowmaster-gateway[otlp-grpc]'`. `console`: nothing is sent, but a line of JSON written to the standard "
        "output. Unset: as `OTEL_EXPORTER_OTLP_PROTOCOL` says, or `http`.",
    )
    traces: bool = Field(True, description="Send traces, as many as `trace.sample` says.")
    metrics: bool = Field(False, description="Send all metrics, too, which `/metrics` has for Prometheus.")
    logs: bool = Field(
        False, description="Send the access log, too, whatever its `output`; with its `fields` and `sample`."
    )
    headers: Annotated[
        dict[addresses.HeaderName, HeaderSecret],
        BeforeValidator(or_empty({}), json_schema_input_type=dict[str, str] | None),
    ] = Field({}, description="Headers that the collector wants.", examples=[{"Authorization": "Bearer ${OTLP_TOKEN}"}])
    resource: Annotated[
        dict[Text, Text], BeforeValidator(or_empty({}), json_schema_input_type=dict[str, str] | None)
    ] = Field(
        {},
        description="Resource attributes, beside `service.name` (`gateway`), `service.version`, "
        "`service.instance.id`, `host.name`, and what `OTEL_RESOURCE_ATTRIBUTES` has.",
        examples=[{"deployment.environment.name": "production"}],
    )
    timeout: Unset[Duration] = Field(
        None,
        description="The time limit of sending, including retries. Unset: `OTEL_EXPORTER_OTLP_TIMEOUT`, or 10s.",
    )
    interval: Unset[Duration] = Field(
        None, description="How often metrics are sent. Unset: `OTEL_METRIC_EXPORT_INTERVAL`, or 60s."
    )
    queue: Annotated[Size, Field(ge=16 * 1024)] = Field(
        8 * 1024**2,
        description="The size of each queue of unsent data, at least 16 KiB. Data beyond it is dropped and counted.",
    )
