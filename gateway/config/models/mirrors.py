"""A service that gets a copy of requests."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from gateway.config.models.base import Model
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind
from gateway.config.values.quantities import PERCENT_PATTERN, Size, parse_percent


def _without_sign(value: object) -> object:
    return parse_percent(value) if isinstance(value, str) else value


PerCent = Annotated[
    float,
    Kind("number, or percentage"),
    BeforeValidator(_without_sign, json_schema_input_type=float | Annotated[str, Field(pattern=PERCENT_PATTERN)]),
]


class Mirror(Model):
    """Copies of requests, sent when the request is over. They wait in a queue of their own, and what does not fit into
    it is dropped and counted."""

    target: addresses.TargetText = Field(description="Where the copies go, as `target` of a route.")
    percent: PerCent = Field(100, gt=0, le=100, description="How many of a hundred requests are copied, by chance.")
    max_body: Size = Field(
        64 * 1024, description="The largest request body that is copied; a request with a larger one is not."
    )
