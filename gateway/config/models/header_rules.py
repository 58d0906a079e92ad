"""middleware.yaml: headers that are set, added and removed, on the way to the backend and on the way back."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_serializer, field_validator

from gateway.config.models.base import Section
from gateway.config.models.policy import ForRoutes
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Several, Text, refuse
from gateway.http.fields import FRAMING_FIELDS, folded

VARIABLES = ("request_id", "client", "consumer", "tenant", "route", "host", "scheme", "method", "path", "original_path")
"""What may stand in braces in the value of a header."""

PIECES = re.compile(r"\{(\{[a-z_]+\})\}|\{([a-z_]+)\}")
"""`{{literal}}` or `{variable}`; all other braces are what they are."""

_OF_THE_GATEWAY = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"}
)


def _check_value(text: str) -> str:
    if not text.isascii() or text != text.strip():
        raise refuse("the value of a header is printable ASCII, without spaces around it")
    for match in PIECES.finditer(text):
        if match[2] is not None and match[2] not in VARIABLES:
            known = ", ".join(f"{{{name}}}" for name in VARIABLES)
            raise refuse(
                f"there is no variable of this name; there are {known}, and a double brace is for the word itself",
                f" ({{{match[2]}}})",
            )
    return text


def _check_name(name: str) -> str:
    if folded(name.encode()) in FRAMING_FIELDS:
        raise refuse("this header says how a message is framed, which the gateway does itself; remove it")
    return name


def _check_request_name(name: str) -> str:
    if folded(name.encode()).decode() == "host":
        raise refuse("the Host header goes with the target; see preserve_host of a route")
    if folded(name.encode()).decode() in _OF_THE_GATEWAY:
        raise refuse("the gateway itself sends this to the backend; see trusted_proxies of auth.yaml; remove it")
    return _check_name(name)


def _check_response_name(name: str) -> str:
    if folded(name.encode()).decode() in ("content-encoding", "content-range"):
        raise refuse("this header says how to read the body, which a rule does not change; remove it")
    return _check_name(name)


HeaderValue = Annotated[Text, Kind("text with variables"), AfterValidator(_check_value)]
RequestHeader = Annotated[addresses.HeaderName, AfterValidator(_check_request_name)]
ResponseHeader = Annotated[addresses.HeaderName, AfterValidator(_check_response_name)]


def _names_differ(value: Any) -> Any:
    if isinstance(value, dict) and len({str(name).lower() for name in value}) < len(value):
        raise refuse("a header is duplicated; upper and lower case are the same name, remove one")
    return value


class RequestHeaders(Section):
    """Headers on the way to the backend."""

    set: dict[RequestHeader, HeaderValue] = Field({}, description="Headers with this one value, whatever there was.")
    add: dict[RequestHeader, HeaderValue] = Field({}, description="Headers that are added to those of the same name.")
    remove: Several[RequestHeader] = Field((), description="Headers that are removed.")

    _unique = field_validator("set", "add", mode="before")(_names_differ)

    @field_serializer("set", "add", when_used="json")
    def _hidden(self, lines: dict[str, str]) -> dict[str, str]:
        """A backend's password is not for those who may see the configuration in force."""
        return dict.fromkeys(lines, "**********")


class ResponseHeaders(Section):
    """Headers on the way back to the client, on errors too."""

    set: dict[ResponseHeader, HeaderValue] = Field({}, description="Headers with this one value, whatever there was.")
    add: dict[ResponseHeader, HeaderValue] = Field({}, description="Headers that are added to those of the same name.")
    remove: Several[ResponseHeader] = Field((), description="Headers of the backend's response that are removed.")

    _unique = field_validator("set", "add", mode="before")(_names_differ)


class HeaderRules(ForRoutes):
    """Headers that are changed. A value may have variables: `{request_id}`, `{client}` (its address), `{consumer}` and
    `{tenant}` (empty without an authenticated caller), `{route}` (its id), `{host}`, `{scheme}`, `{method}`, `{path}`
    (that of the route) and `{original_path}` (as the client sent it). They are percent-encoded where they are not
    printable ASCII, and `%` in `{consumer}` and `{tenant}`; in a value that has more than the variable, also
    `% ; , = " ' \\`, spaces, and what the value itself puts between its parts (`&`, and in `{consumer}` and `{tenant}`
    `/`, `:` and their like), so that no part can pass for another. A header whose value comes out empty is left out.
    Where several rules are for one route, they work in the order of the file."""

    request: RequestHeaders = Field(RequestHeaders(), description="On the way to the backend.")
    response: ResponseHeaders = Field(ResponseHeaders(), description="On the way back.")
