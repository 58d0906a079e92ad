"""How it is found out which endpoints of a service can answer."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.config.models.base import Model
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, SomeOf, Text, TextLike, Unset, as_list, refuse
from gateway.config.values.quantities import Duration


def _range(value: object) -> tuple[int, int]:
    low, _, high = str(value).partition("-")
    if isinstance(value, bool) or re.fullmatch(r"[1-5][0-9]{2}(-[1-5][0-9]{2})?", str(value), re.ASCII) is None:
        raise refuse('a status is a number such as 200, or a range such as "200-299"')
    if int(high or low) < int(low):
        raise refuse("the range ends before it begins; write the smaller status first")
    return int(low), int(high or low)


StatusRange = Annotated[
    tuple[int, int],
    Kind('status, or "200-299"'),
    BeforeValidator(_range, json_schema_input_type=int | str),
]
"""The first and the last status."""

CheckPath = Annotated[
    str,
    TextLike("path", r"/[!-~]*", "a path begins with a slash, and has neither spaces nor letters outside of ASCII"),
]


def _one(value: object) -> object:
    return [value] if isinstance(value, int) else as_list(value)


class Health(Model):
    """Each endpoint is asked regularly, on a connection of its own. Either `path` or `tcp`."""

    path: Unset[CheckPath] = Field(None, description="What is asked for, with its query.", examples=["/health"])
    tcp: bool = Field(False, description="An endpoint that accepts a connection is up; nothing is asked.")
    interval: Duration = Field(10, description="From one check of an endpoint to the next, give or take a tenth.")
    timeout: Duration = Field(2, description="By which a check must have its answer, connecting included.")
    unhealthy_after: int = Field(3, ge=1, le=100, description="Failed checks in a row that take an endpoint out.")
    healthy_after: int = Field(2, ge=1, le=100, description="Passed checks in a row that bring it back.")
    initial: Literal["healthy", "unhealthy"] = Field(
        "healthy",
        description="What an endpoint is before its first check, which is at once. The first check that an "
        "`unhealthy` one passes brings it in.",
    )
    method: Annotated[str, Kind("method"), AfterValidator(addresses.parse_method)] = Field(
        "GET", description="The method of the request."
    )
    host: Unset[Text] = Field(None, description="The Host of the request. Unset: what requests to the service have.")
    status: Annotated[SomeOf[StatusRange], BeforeValidator(_one)] = Field(
        ((200, 399),), description="What an endpoint that is up answers.", examples=[[200, 204]]
    )
    body: Unset[Text] = Field(None, description="What its answer contains, in the first 64 KiB.")

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Health":
        if (self.path is None) == (not self.tcp):
            raise refuse("health needs either path, such as /health, or tcp: true")
        if self.tcp and self.model_fields_set & {"method", "host", "status", "body"}:
            raise refuse("method, host, status and body are about answers, and tcp asks for none; remove them, or tcp")
        return self
