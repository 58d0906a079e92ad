"""middleware.yaml: maintenance mode."""

from pydantic import Field

from gateway.config.models.policy import Policy, RouteGlob
from gateway.config.values import addresses
from gateway.config.values.kinds import Several, Text
from gateway.config.values.quantities import Duration


class Maintenance(Policy):
    """Maintenance mode: 503 with `Retry-After` for every client that is not exempt."""

    enabled: bool = Field(False, description="Whether it is on.")
    retry_after: Duration = Field(300, description="When clients should try again: `Retry-After`.")
    message: Text = Field(
        "the service is under maintenance; please try again later", description="The message to clients."
    )
    exempt_routes: Several[RouteGlob] = Field((), description="Ids of routes that stay available, or patterns of them.")
    exempt_networks: Several[addresses.Network] = Field(
        (), description="Networks (CIDR) or addresses of clients that are still served."
    )
