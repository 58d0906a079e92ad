"""Sets, adds and removes headers, of requests on their way to the backend, and of responses on their way back.

Two middlewares, because they belong to different places: headers for the backend are set after the
caller was recognised, and those for the client must be in the refusals of all other policies too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from gateway.config.models import RouteConfig
from gateway.config.models.header_rules import PIECES, HeaderRules, RequestHeaders, ResponseHeaders
from gateway.context import Context
from gateway.errors import GatewayError
from gateway.http import Exchange, Handler, Response
from gateway.middleware.declaration import Declaration

Line = tuple[bytes, bytes]
Value = Callable[[Exchange], bytes]

_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))

_VARIABLES: Final[dict[str, Callable[[Exchange], str | None]]] = {
    "request_id": lambda exchange: exchange.request_id,
    "client": lambda exchange: exchange.client,
    "consumer": lambda exchange: exchange.identity.consumer if exchange.identity else None,
    "tenant": lambda exchange: exchange.identity.tenant if exchange.identity else None,
    "route": lambda exchange: exchange.route,
    "host": lambda exchange: exchange.host,
    "scheme": lambda exchange: exchange.scheme,
    "method": lambda exchange: exchange.method,
    "path": lambda exchange: exchange.path,
    "original_path": lambda exchange: exchange.original_path,
}


_FREE_TEXT: Final = frozenset({"consumer", "tenant"})  # what a token may have made up
_MARKS: Final = "%;,=\"'\\ "  # what stands between the parts of a value, or around them


def compile_value(text: str) -> bytes | Value:
    """The value itself, or what makes it of an exchange.

    Whatever a variable holds, what comes out is one line of printable ASCII: everything else is percent-encoded. Where
    a variable is only a part of the value, so is what could pass for the end of its part.
    """
    pieces: list[str | Callable[[Exchange], str]] = []
    position = 0
    matches = list(PIECES.finditer(text))
    alone = len(matches) == 1 and matches[0][0] == text
    literal = "".join(char for char in PIECES.sub("", text) if not char.isalnum())
    for match in matches:
        pieces += [text[position : match.start()], match[1] or _written(match[2], literal, alone=alone)]
        position = match.end()
    pieces.append(text[position:])
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(map(str, pieces)).encode("ascii")

    def render(exchange: Exchange) -> bytes:
        made = "".join([piece if isinstance(piece, str) else piece(exchange) for piece in pieces])
        return made.strip().encode("ascii")

    return render


def _written(name: str, literal: str, *, alone: bool) -> Callable[[Exchange], str]:
    """What a variable holds, encoded. `literal` has the marks between which the value puts it, such as `&`."""
    get = _VARIABLES[name]
    marks = "%" if name in _FREE_TEXT else ""
    if not alone:  # hosts, addresses and paths keep what belongs to them
        marks = _MARKS + (literal if name in _FREE_TEXT else "".join(mark for mark in literal if mark not in "/:.-_"))
    table = {ord(mark): f"%{ord(mark):02X}" for mark in marks}
    safe = "".join(char for char in _PRINTABLE if char not in marks)

    def written(exchange: Exchange) -> str:
        value = get(exchange) or ""
        if value.isascii() and value.isprintable() and value == value.strip():
            return value.translate(table)
        return quote(value, safe=safe.replace(" ", ""), errors="replace")

    return written


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
class RequestHeaderRules:
    """Headers for the backend. Lines that other policies added are set and removed, too."""

    changes: Changes

    def wrap(self, handler: Handler) -> Handler:
        """A handler that sees the changed headers."""
        change, dropped = self.changes, self.changes.dropped
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
"""What an error response says of itself, whatever is the rule for the backend's responses."""


@dataclass(frozen=True, slots=True)
class ResponseHeaderRules:
    """Headers for the client, also when a policy further in refuses, or the backend fails."""

    changes: Changes

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


def _rules(context: Context, route: RouteConfig) -> list[HeaderRules]:
    return [rule for rule in context.configuration.middleware.headers.values() if rule.applies_to(route.id)]


def request_for_route(context: Context, route: RouteConfig) -> RequestHeaderRules | None:
    """None where nothing is to be changed on the way to the backend."""
    change = changes(rule.request for rule in _rules(context, route))
    return RequestHeaderRules(change) if change else None


def response_for_route(context: Context, route: RouteConfig) -> ResponseHeaderRules | None:
    """None where nothing is to be changed on the way back."""
    change = changes(rule.response for rule in _rules(context, route))
    return ResponseHeaderRules(change) if change else None


OF_RESPONSES: Final[Declaration] = Declaration(
    "response_headers",
    response_for_route,
    before={"authentication": "refusals go without the headers of the rules"},
    guards_quota=True,
    compiled=True,
)
OF_REQUESTS: Final[Declaration] = Declaration(
    "request_headers",
    request_for_route,
    behind={"authentication": "{consumer} and {tenant} are empty"},
    compiled=True,
)
