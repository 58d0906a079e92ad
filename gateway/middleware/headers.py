"""Sets, adds and removes headers, of requests on their way to the backend, and of responses on their way back.

Two middlewares, because they belong to different places: headers for the backend are set after the
caller was recognised, and those for the client must be in the refusals of all other policies too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final
from urllib.parse import quote

from gateway.auth.credentials import without_parameters
from gateway.config.models import Configuration, RouteConfig
from gateway.config.models.header_rules import HeaderRules, RequestHeaders, ResponseHeaders, words
from gateway.context import Context
from gateway.errors import GatewayError
from gateway.http import Exchange, Handler, Response
from gateway.middleware.declaration import Declaration, Read
from gateway.middleware.variables import Parameter, Value, compile_parameter, compile_value

Line = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Changes:
    """All rules of one route in one direction: names that are dropped, then lines that are there instead."""

    dropped: frozenset[bytes]
    lines: tuple[tuple[bytes, bytes | Value], ...]
    fixed: tuple[Line, ...] | None  # the lines, where no exchange changes them

    def __repr__(self) -> str:
        """The names only: a value may be a backend's password."""
        removed, written = sorted(self.dropped), sorted({name for name, _ in self.lines})
        return f"removed {b', '.join(removed).decode() or '-'}, written {b', '.join(written).decode() or '-'}"

    def made(self, exchange: Exchange) -> tuple[Line, ...]:
        """The lines for this exchange; a line whose value came out empty is left out."""
        if self.fixed is not None:
            return self.fixed
        made = [(name, value if isinstance(value, bytes) else value(exchange)) for name, value in self.lines]
        return tuple([line for line in made if line[1]])


def changes(rules: Iterable[RequestHeaders | ResponseHeaders]) -> Changes | None:
    """Rules in their order as one change; None where there is nothing to do."""
    dropped: set[bytes] = set()
    lines: list[tuple[bytes, bytes | Value]] = []
    for rule in rules:
        gone = {name.encode() for name in (*rule.remove, *rule.set)}
        dropped |= gone
        lines = [line for line in lines if line[0] not in gone]
        lines += [(name.encode(), compile_value(value)) for name, value in (*rule.set.items(), *rule.add.items())]
    if not dropped and not lines:
        return None
    fixed = tuple([(name, value) for name, value in lines if isinstance(value, bytes) and value])
    return Changes(frozenset(dropped), tuple(lines), fixed if all(isinstance(v, bytes) for _, v in lines) else None)


@dataclass(frozen=True, slots=True)
class QueryChanges:
    """Query parameters that are there with this one value, or not at all; whatever else there is stays as it came."""

    values: Mapping[str, Parameter]

    def wrap(self, handler: Handler) -> Handler:
        """A handler that sees the changed query."""
        names = frozenset(name.encode() for name in self.values)
        written = [(quote(name, safe=""), value) for name, value in self.values.items()]

        async def changed(exchange: Exchange) -> Response:
            made = [(name, value(exchange)) for name, value in written]
            rest = without_parameters(exchange.query, names) if exchange.query else b""
            pairs = [f"{name}={value}".encode() for name, value in made if value is not None]
            exchange.query = b"&".join([rest, *pairs] if rest else pairs)
            return await handler(exchange)

        return changed


@dataclass(frozen=True, slots=True)
class RequestHeaderRules:
    """Headers and parameters for the backend. Lines that other policies added are set and removed, too."""

    changes: Changes | None
    query: QueryChanges | None = None

    def __repr__(self) -> str:
        """The names only."""
        parameters = f", parameters {', '.join(self.query.values)}" if self.query is not None else ""
        return f"RequestHeaderRules({self.changes or ''}{parameters})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that sees what was changed."""
        if self.query is not None:
            handler = self.query.wrap(handler)
        if self.changes is None:
            return handler
        change = self.changes
        dropped = change.dropped
        hidden = frozenset(name.replace(b"_", b"-") for name in dropped)

        async def changed(exchange: Exchange) -> Response:
            if hidden:
                exchange.hidden_headers |= hidden
                if exchange.extra_headers:
                    exchange.extra_headers = tuple([line for line in exchange.extra_headers if line[0] not in dropped])
            exchange.extra_headers += change.made(exchange)
            return await handler(exchange)

        return changed


_OF_PROBLEMS: Final = frozenset({b"content-type", b"cache-control", b"x-request-id"})
"""The fields that describe an error response, whatever the rule for the backend's responses."""


@dataclass(frozen=True, slots=True)
class ResponseHeaderRules:
    """Headers for the client, also when a policy further in refuses, or the backend fails."""

    changes: Changes

    def __repr__(self) -> str:
        """The names only."""
        return f"ResponseHeaderRules({self.changes})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler whose responses have the changed headers."""
        change, dropped = self.changes, self.changes.dropped

        async def changed(exchange: Exchange) -> Response:
            try:
                response = await handler(exchange)
            except GatewayError as error:
                lines = [line for line in change.made(exchange) if line[0] not in _OF_PROBLEMS]
                error.headers = (*(line for line in error.headers if line[0] not in dropped), *lines)
                raise
            if dropped:
                response.headers = [line for line in response.headers if line[0] not in dropped]
            response.headers.extend(change.made(exchange))
            return response

        return changed


def _rules(configuration: Configuration, route: RouteConfig) -> list[HeaderRules]:
    return [rule for rule in configuration.middleware.headers.values() if rule.applies_to(route.id)]


def request_for_route(context: Context, route: RouteConfig) -> RequestHeaderRules | None:
    """None where nothing is to be changed on the way to the backend. What the route sets goes over the rules."""
    own = RequestHeaders.model_construct(set=route.set_headers)
    change = changes([*(rule.request for rule in _rules(context.configuration, route)), own])
    values = {name: compile_parameter(value) for name, value in route.set_parameters.items()}
    if change is None and not values:
        return None
    return RequestHeaderRules(change, QueryChanges(values) if values else None)


def response_for_route(context: Context, route: RouteConfig) -> ResponseHeaderRules | None:
    """None where nothing is to be changed on the way back."""
    change = changes(rule.response for rule in _rules(context.configuration, route))
    return ResponseHeaderRules(change) if change else None


def _reads_of(texts: Iterable[str]) -> Iterator[Read]:
    """Inputs of values must not be duplicated: the backend could use the other one."""
    for word in chain.from_iterable(map(words, texts)):
        family, _, name = word.partition(".")
        if family == "headers":
            yield "header", name.lower()
        elif family == "query":
            yield "parameter", name


def _texts(rules: Iterable[RequestHeaders | ResponseHeaders]) -> Iterator[str]:
    for rule in rules:
        yield from (*rule.set.values(), *rule.add.values())


def _reads_for_requests(configuration: Configuration, route: RouteConfig) -> Iterator[Read]:
    yield from _reads_of(route.set.values())
    yield from _reads_of(_texts(rule.request for rule in _rules(configuration, route)))


def _reads_for_responses(configuration: Configuration, route: RouteConfig) -> Iterator[Read]:
    return _reads_of(_texts(rule.response for rule in _rules(configuration, route)))


OF_RESPONSES: Final[Declaration] = Declaration(
    "response_headers",
    response_for_route,
    before={"authentication": "refusals go without the headers of the rules"},
    guards_quota=True,
    reads=_reads_for_responses,
    compiled=True,
    by_hand=True,
)
OF_REQUESTS: Final[Declaration] = Declaration(
    "request_headers",
    request_for_route,
    behind={"authentication": "{consumer} and {tenant} are empty, and there are no claims"},
    reads=_reads_for_requests,
    compiled=True,
    by_hand=True,
)
