"""middleware.yaml: the trace that a request belongs to (W3C Trace Context)."""

from typing import Literal

from pydantic import Field

from gateway.config.models.base import Section


class Trace(Section):
    """The trace that a request belongs to (W3C Trace Context): the backend gets it as `traceparent`, and the access
    log has it as `trace_id`. A trace that is begun here is marked as sampled, so that backends record it."""

    enabled: bool = Field(False, description="Whether it is on.")
    trust: Literal["proxies", "always", "never"] = Field(
        "proxies",
        description="Whose `traceparent` is continued: that of `trusted_proxies` (auth.yaml), of every "
        "client, or of none. Instead of any other, and of one that is malformed, a new trace is begun, without its "
        "`tracestate`.",
    )
