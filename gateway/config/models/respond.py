"""routes.yaml: a route that is answered by the gateway itself, always with the same."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gateway.config.models.base import Late, Model
from gateway.config.models.header_rules import ResponseHeader
from gateway.config.values.kinds import Kind, Text, accepted_by, or_empty, refuse, shorthand

DEFAULT_TYPE = "text/plain; charset=utf-8"

BODYLESS = frozenset({204, 205, 304})
"""Statuses of responses without a body (RFC 9110, 15.3.5, 15.3.6 and 15.4.5)."""


def _check_line(text: str) -> None:
    if not text.isascii() or text != text.strip():
        raise refuse("the value of a header is printable ASCII, without spaces around it")


HeaderText = Annotated[Text, Kind("text"), accepted_by(_check_line)]


class RespondConfig(Model):
    """An answer of the gateway's own. A bare number is the same as `status`."""

    status: Annotated[int, Field(ge=200, le=599)] = Field(200, description="Status of the response.", examples=[410])
    body: str = Field("", description="Body of the response; `|` in YAML for one of several lines.")
    headers: Annotated[
        dict[ResponseHeader, HeaderText],
        BeforeValidator(or_empty({}), json_schema_input_type=dict[str, str] | None),
    ] = Field({}, description=f"Headers of the response. With a body, `Content-Type` is `{DEFAULT_TYPE}` unless set.")

    @field_validator("headers", mode="before")
    @classmethod
    def _names_differ(cls, value: Any) -> Any:
        if isinstance(value, dict) and len({str(name).lower() for name in value}) < len(value):
            raise refuse("a header is duplicated; upper and lower case are the same name, remove one")
        return value

    @model_validator(mode="after")
    def _may_have_a_body(self) -> "RespondConfig":
        if self.body and self.status in BODYLESS:
            raise refuse(f"a response with the status {self.status} has no body; remove it, or take another status")
        return self


RespondOfRoute = Annotated[
    Late[RespondConfig],
    Kind("status, or keys below"),
    BeforeValidator(shorthand("status"), json_schema_input_type=int | Late[RespondConfig]),
]
