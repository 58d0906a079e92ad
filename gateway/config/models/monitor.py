"""middleware.yaml: what is counted of requests, and watched."""

from pydantic import Field

from gateway.config.models.base import Section


class Monitor(Section):
    """Counting and monitoring of requests: `/metrics`, and windows of the last ten seconds to the last three days
    by route, service, endpoint and tenant (`/monitor` of the admin port, `gateway monitor`)."""

    enabled: bool = Field(
        True,
        description="`false`: requests are neither counted nor watched, nor recorded as spans, and `/metrics` has none "
        "of them.",
    )
