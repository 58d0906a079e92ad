"""The model of a test file."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from gateway.config.models.base import Model
from gateway.config.values.addresses import Method
from gateway.config.values.kinds import SomeOf, Text, refuse

_LINE = re.compile(r"(\S+) (\S+)")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


def _of_line(value: Any) -> Any:
    """`GET /dogs/7` stands for the keys of a request."""
    if not isinstance(value, str):
        return value
    match = _LINE.fullmatch(value)
    if match is None:
        raise refuse("expected a method and a path or URL, such as GET /dogs/7, or keys (method, path, headers, ...)")
    return {"method": match[1], "path": match[2]}


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise refuse("expected an IP address, such as 203.0.113.7") from None


def _header_names(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if _HEADER_NAME.fullmatch(name) is None:
            raise refuse(f"{name[:60]!r} is no name of a header")
    return {name.lower(): text for name, text in value.items()}


class Request(Model):
    """A request."""

    method: Method = Field("GET", description="Its method.")
    path: Text = Field(description="A path, with a query or without, or a URL.", examples=["/dogs/7"])
    headers: Annotated[dict[str, Text], AfterValidator(_header_names)] = Field({}, description="Its headers, by name.")
    body: str | None = Field(None, description="Its body.")
    client: Annotated[Text, AfterValidator(_address)] = Field(
        "127.0.0.1", description="The address at the other end of its connection."
    )

    @field_validator("path")
    @classmethod
    def _is_target(cls, value: str) -> str:
        if re.search(r"\s", value) or not (value.startswith("/") or "://" in value):
            raise refuse("expected a path that begins with /, or a URL, without white space (write %20)")
        return value


class Expect(Model):
    """The expected outcome. Members that are left out are not compared."""

    route: Text | None = Field(None, description="The id of the route that takes it; null: none does.")
    target: Text | None = Field(None, description="Where it goes, as the route names it; null: nowhere.")
    path: Text | None = Field(None, description="The path that the backend sees, and the query, if that is given here.")
    consumer: Text | None = Field(None, description="The consumer; null: unauthenticated.")
    refused_by: Text | None = Field(
        None, description="The rule that refuses it, as decisions call it (`rate_limit:NAME`), or a part of that."
    )
    status: Annotated[int, Field(ge=100, le=599)] | None = Field(
        None, description="The status of the gateway's own answer; null: it is for the backend to answer."
    )
    redirect: Text | None = Field(None, description="Where the client is led to.")
    headers: Annotated[dict[str, Text | None], AfterValidator(_header_names)] = Field(
        {}, description="Headers as the backend sees them; null: it does not see one of this name."
    )

    @field_validator("headers")
    @classmethod
    def _some(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise refuse("no header is named; name one, or leave the key out")
        return value


class Case(Model):
    """One test."""

    name: Text = Field("", description="Its name in reports. Unset: its request.")
    request: Annotated[Request, BeforeValidator(_of_line)] = Field(
        description="The request: `GET /dogs/7`, or keys.", examples=["GET /dogs/7"]
    )
    expect: Expect = Field(description="What should become of it.", examples=[{"route": "dogs"}])

    @field_validator("expect")
    @classmethod
    def _expects_something(cls, value: Expect) -> Expect:
        if not value.model_fields_set:
            raise refuse("nothing is expected; name at least one of " + ", ".join(Expect.model_fields))
        return value


class TestsFile(Model):
    """A file of tests."""

    __test__ = False  # for pytest

    tests: SomeOf[Case] = Field(description="The tests, each by itself.")
