"""middleware.yaml: headers that are set, added and removed, on the way to the backend and on the way back."""

import operator
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, field_serializer, field_validator

from gateway.config.models.base import Section
from gateway.config.models.policy import ForRoutes
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Several, Text, refuse
from gateway.http.fields import FRAMING_FIELDS, folded

VARIABLES = ("request_id", "client", "consumer", "tenant", "route", "host", "scheme", "method", "path", "original_path")
"""Variables in braces in the value of a header."""

FAMILIES = ("claims", "query", "headers")
"""Prefixes of variables of two words: `{claims.org}`, `{query.page}`, `{headers.x-page}`."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[^{}\s]+)?"
PIECES = re.compile(rf"\{{(\{{{_NAME}\}})\}}|\{{({_NAME})\}}")
"""`{{literal}}` or `{variable}`; all other braces are what they are."""

OF_QUERY = "query."
"""Before the name of a query parameter, where a header could stand, too."""

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_OF_THE_GATEWAY = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"}
)


def _check_value(text: str) -> str:
    if not text.isascii() or text != text.strip():
        raise refuse("the value of a header is printable ASCII, without spaces around it")
    return text


def words(text: str) -> Iterator[str]:
    """The variables of a value, by name."""
    return (match[2] for match in PIECES.finditer(text) if match[2] is not None)


def unknown_word(word: str, captured: Collection[str]) -> str | None:
    """The error of a variable if the path captures these names; None if it is valid."""
    family, _, name = word.partition(".")
    if name and family == "headers":
        return None if re.fullmatch(_TOKEN, name) else "the part behind headers. is not a header name; correct it"
    if (name and family in FAMILIES) or word in VARIABLES or word in captured:
        return None
    known = ", ".join(f"{{{each}}}" for each in (*VARIABLES, *(f"{family}.NAME" for family in FAMILIES)))
    return (
        f"there is no variable of this name; there are {known}, what the path captures, and a double brace is for the "
        "word itself"
    )


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


def _check_settable(name: str) -> str:
    if not name.startswith(OF_QUERY):
        return _check_request_name(addresses.parse_header_name(name))
    if name == OF_QUERY:
        raise refuse("query. is followed by the name of a query parameter: query.page")
    return name


def check_words(values: Iterable[str], captured: Collection[str]) -> None:
    """Refuses a variable that is none where the path captures these names, or that could be meant as two things."""
    for word in chain.from_iterable(map(words, values)):
        if (message := unknown_word(word, captured)) is not None:
            raise refuse(message, f" ({{{word}}})")
        if word in VARIABLES and word in captured:
            message = "the path captures this name, which is also the name of a variable; rename the capture"
            raise refuse(message, f" ({{{word}}})")


def _check_response_name(name: str) -> str:
    if folded(name.encode()).decode() in ("content-encoding", "content-range"):
        raise refuse("this header says how to read the body, which a rule does not change; remove it")
    return _check_name(name)


HeaderValue = Annotated[Text, Kind("text with variables"), AfterValidator(_check_value)]
RequestHeader = Annotated[addresses.HeaderName, AfterValidator(_check_request_name)]
Settable = Annotated[Text, Kind("header name, or query.NAME"), AfterValidator(_check_settable)]
ResponseHeader = Annotated[addresses.HeaderName, AfterValidator(_check_response_name)]


def _names_differ(value: Any) -> Any:
    if isinstance(value, dict) and len({str(name).lower() for name in value}) < len(value):
        raise refuse("a header is duplicated; upper and lower case are the same name, remove one")
    return value


class RequestHeaders(Section):
    """Headers on the way to the backend."""

    set: dict[RequestHeader, HeaderValue] = Field(
        {}, exclude_if=operator.not_, description="Headers with this one value, whatever there was."
    )
    add: dict[RequestHeader, HeaderValue] = Field(
        {}, exclude_if=operator.not_, description="Headers that are added to those of the same name."
    )
    remove: Several[RequestHeader] = Field((), description="Headers that are removed.")

    _unique = field_validator("set", "add", mode="before")(_names_differ)

    @field_serializer("set", "add", when_used="json")
    def _hidden(self, lines: dict[str, str]) -> dict[str, str]:
        """A backend's password is not for those who may see the configuration in force."""
        return dict.fromkeys(lines, "**********")


class ResponseHeaders(Section):
    """Headers on the way back to the client, on errors too (of policies behind this one: see Order of policies)."""

    set: dict[ResponseHeader, HeaderValue] = Field({}, description="Headers with this one value, whatever there was.")
    add: dict[ResponseHeader, HeaderValue] = Field({}, description="Headers that are added to those of the same name.")
    remove: Several[ResponseHeader] = Field((), description="Headers of the backend's response that are removed.")

    _unique = field_validator("set", "add", mode="before")(_names_differ)


class HeaderRules(ForRoutes):
    """Headers that are changed. A value may have variables: `{request_id}`, `{client}` (its address), `{consumer}` and
    `{tenant}` (empty without an authenticated caller), `{route}` (its id), `{host}`, `{scheme}`, `{method}`, `{path}`
    (that of the route), `{original_path}` (as the client sent it), and those of Values from requests. They are
    percent-encoded where they are not printable ASCII, and `%` in what callers choose; in a value that has more than
    the variable, also `% ; , = " ' \\`, spaces, and what the value itself puts between its parts (`&`, and in what
    callers choose `/`, `:` and their like), so that no part can pass for another. A header whose value comes out empty
    is left out. Where several rules are for one route, they work in the order of the file."""

    request: RequestHeaders = Field(RequestHeaders.unset(), description="On the way to the backend.")
    response: ResponseHeaders = Field(ResponseHeaders.unset(), description="On the way back.")
