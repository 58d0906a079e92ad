"""middleware.yaml and routes: the trace that a request belongs to (W3C Trace Context)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gateway.config.models.base import Late, Model, Section
from gateway.config.values.kinds import Kind, Unset, shorthand
from gateway.config.values.quantities import Share

B3 = Literal["single", "multi"]


class Trace(Section):
    """The trace that a request belongs to (W3C Trace Context): the backend gets it as `traceparent`, and access log and
    problem documents have it as `trace_id`. docs/tracing.md describes it."""

    enabled: Unset[bool] = Field(
        None, description="Whether it is on. Unset: where there is any other key of `trace`, or `telemetry` has traces."
    )
    trust: Literal["proxies", "always", "never"] = Field(
        "proxies",
        description="Whose `traceparent` is continued, with its decision whether the trace is recorded: that of "
        "`trusted_proxies` (auth.yaml), of every client, or of none. In the place of any other, and of one that is "
        "malformed, a new trace is begun. `tracestate` and `baggage` of all others are dropped.",
    )
    sample: Unset[Share] = Field(
        None,
        description="How many of the traces that begin here are recorded. Unset: `OTEL_TRACES_SAMPLER_ARG` where "
        "`OTEL_TRACES_SAMPLER` is set; otherwise 1% where `telemetry` has traces, and none where no span is exported.",
    )
    b3: Unset[B3] = Field(
        None,
        description="Also understand B3 (Zipkin), where there is no `traceparent`, and send it beside: as the one "
        "header `b3`, or as several, `X-B3-TraceId` and so on. Either is understood. Unset: as "
        "`OTEL_PROPAGATORS` says; no B3 without it.",
    )

    @property
    def is_on(self) -> bool | None:
        """Whether it is; None where that is for others to say."""
        return True if self.enabled is None and self.model_fields_set else self.enabled


class RouteTrace(Model):
    """Settings of one route."""

    sample: Share = Field(description="How many of the traces that begin with this route are recorded.")


TraceOfRoute = Annotated[
    Late[RouteTrace],
    Kind("share, or keys below"),
    BeforeValidator(shorthand("sample"), json_schema_input_type=str | float | Late[RouteTrace]),
]
