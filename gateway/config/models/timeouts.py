"""How long the steps of an exchange may take."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from gateway.config.models.base import Late, Model, Section
from gateway.config.values.kinds import Kind, Unset, shorthand
from gateway.config.values.quantities import Duration


class RouteTimeouts(Model):
    """Timeouts of one route. What is not set here is taken from `timeouts` of middleware.yaml."""

    connect: Unset[Duration] = Field(None, description="To establish a connection to the backend, TLS included.")
    response_header: Unset[Duration] = Field(
        None, description="From the end of the request to the head of the response."
    )
    idle: Unset[Duration] = Field(None, description="Without a byte in either direction while a body is on its way.")
    total: Unset[Duration] = Field(
        None, description="For the whole exchange with the backend, retries included. Not for WebSockets."
    )


class Timeouts(Section):
    """Timeouts of every route that does not say otherwise."""

    connect: Duration = Field(5, description="To establish a connection to the backend, TLS included.")
    response_header: Duration = Field(60, description="From the end of the request to the head of the response.")
    idle: Unset[Duration] = Field(
        None,
        description="Without a byte in either direction while a body is on its way. "
        "Unset: 300s, and none for event streams.",
    )
    total: Unset[Duration] = Field(
        None,
        description="For the whole exchange with the backend, from when it is first asked, retries included; what "
        "policies wait for before that is not in it. Unset: no limit. Not for WebSockets.",
    )

    def overridden_by(self, route: RouteTimeouts | None) -> "Timeouts":
        """These timeouts, with those that `route` sets in their place."""
        return self if route is None else self.model_copy(update=route.model_dump(exclude_none=True))


TimeoutsOfRoute = Annotated[
    Late[RouteTimeouts],
    Kind("duration, or keys below"),
    BeforeValidator(shorthand("total"), json_schema_input_type=Duration | Late[RouteTimeouts]),
]
