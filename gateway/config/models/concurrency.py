"""How many requests a service has at once."""

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.models.base import Late, Model
from gateway.config.values.kinds import Kind, Unset, refuse, shorthand


class Concurrency(Model):
    """How many requests a service has at once, over all its endpoints; those beyond it are a 503 at once. Either
    `limit`, which a bare number is the same as, or `adaptive`. WebSockets are not counted."""

    limit: Unset[Annotated[int, Field(ge=1, le=1_000_000)]] = Field(None, description="A fixed number.")
    adaptive: bool = Field(
        False,
        description="Find the number by response times (Envoy's gradient): it grows while they are about as short as "
        "without load, and shrinks when they grow.",
    )
    minimum: int = Field(3, ge=1, le=1_000_000, description="The lowest number that `adaptive` goes to.")
    maximum: int = Field(1000, ge=1, le=1_000_000, description="The highest.")

    @model_validator(mode="after")
    def _is_one(self) -> "Concurrency":
        if (self.limit is not None) == self.adaptive:
            raise refuse("concurrency is either a limit or adaptive: true")
        if self.minimum > self.maximum:
            raise refuse("minimum is above maximum; exchange them")
        return self


ConcurrencyOfService = Annotated[
    Late[Concurrency],
    Kind("number, or keys below"),
    BeforeValidator(shorthand("limit"), json_schema_input_type=int | Late[Concurrency]),
]
