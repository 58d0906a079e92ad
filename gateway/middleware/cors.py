"""Lets browsers' pages of other origins call (the CORS protocol: https://fetch.spec.whatwg.org/#http-cors-protocol).

The gateway says who may do what, and the browser holds to it: a preflight is answered with what is allowed, and never
refused. The request itself is not refused either, because a page's own origin sends `Origin` too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.config.models import Configuration, RouteConfig
from gateway.context import Context
from gateway.errors import GatewayError
from gateway.http import Decision, Exchange, Handler, Response
from gateway.middleware.declaration import Declaration, Read

Lines = tuple[tuple[bytes, bytes], ...]

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_VARIES: Final[Lines] = ((b"vary", b"Origin"),)
_PREFLIGHT_VARIES: Final[Lines] = ((b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),)


def announced_method(exchange: Exchange) -> str | None:
    """The method of the request that a preflight asks for; None where this is no preflight."""
    if exchange.method != "OPTIONS" or b"origin" not in exchange.fields:
        return None
    method = exchange.fields.get(b"access-control-request-method")
    return method.decode("latin-1") if method else None


@dataclass(frozen=True, slots=True)
class Origins:
    """Who may call."""

    exact: frozenset[bytes]
    patterns: tuple[re.Pattern[bytes], ...]
    any_origin: bool

    def __contains__(self, origin: bytes) -> bool:
        return self.any_origin or origin in self.exact or any(pattern.fullmatch(origin) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Cors:
    """`allowed` goes with every response to an allowed origin, `preflight` beside it with the answer to a preflight."""

    rule: str
    origins: Origins
    allowed: Lines
    preflight: Lines

    def __repr__(self) -> str:
        return f"Cors({self.rule})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that answers preflights, and whose responses pages of other origins may read."""

        async def shared(exchange: Exchange) -> Response:
            if exchange.websocket:  # browsers do not ask for those
                return await handler(exchange)
            origin = exchange.fields.get(b"origin")
            if origin is not None and announced_method(exchange):
                if origin not in self.origins:
                    return Response(204, [*_PREFLIGHT_VARIES])
                return Response(204, [*_PREFLIGHT_VARIES, self._allow(origin), *self.allowed, *self.preflight])
            if self.origins.any_origin:
                lines = ((b"access-control-allow-origin", b"*"), *self.allowed)
            elif origin is None or origin not in self.origins:
                lines = _VARIES
            else:
                lines = (*_VARIES, self._allow(origin), *self.allowed)
            try:
                response = await handler(exchange)
            except GatewayError as error:
                error.headers += lines
                raise
            response.headers = [line for line in response.headers if not line[0].startswith(b"access-control-")]
            response.headers += lines
            return response

        return shared

    def _allow(self, origin: bytes) -> tuple[bytes, bytes]:
        return b"access-control-allow-origin", b"*" if self.origins.any_origin else origin

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The answer to a preflight, of which the policies behind this one hear nothing."""
        origin = exchange.fields.get(b"origin")
        if origin is None or announced_method(exchange) is None:
            return None
        known = origin in self.origins
        text = origin.decode("latin-1")
        reason = (
            f"to a preflight: pages of {text} may call" if known else f"{text} is not among the origins that may call"
        )
        return Decision(self.rule, "answer" if known else "deny", reason)


def for_route(context: Context, route: RouteConfig) -> Cors | None:
    """That of the first rule which is for the route."""
    for name, config in context.configuration.middleware.cors.items():
        if config.applies_to(route.id):
            allowed = _line(b"access-control-allow-credentials", ["true"] if config.credentials else [])
            preflight = _line(b"access-control-allow-methods", config.methods or route.methods or _METHODS)
            preflight += _line(b"access-control-allow-headers", config.headers)
            preflight += _line(b"access-control-max-age", [str(int(config.max_age))])
            exposed = _line(b"access-control-expose-headers", config.expose)
            origins = config.origins
            exact = frozenset(origin.encode() for origin in origins if "*" not in origin)
            patterns = tuple(_pattern(origin) for origin in origins if "*" in origin and origin != "*")
            return Cors(f"cors:{name}", Origins(exact, patterns, "*" in origins), allowed + exposed, preflight)
    return None


def _line(name: bytes, listed: Sequence[str]) -> Lines:
    return ((name, ", ".join(listed).encode()),) if listed else ()


def _pattern(origin: str) -> re.Pattern[bytes]:
    """Only for `fullmatch`, so that nothing can stand before or behind it."""
    text = re.escape(origin).replace(r"://\*\.", r"://(?:[a-z0-9_-]+\.)+").replace(r":\*", r"(?::[0-9]{1,5})?")
    return re.compile(text.encode())


def _reads(configuration: Configuration, route: RouteConfig) -> Iterator[Read]:
    if any(rule.applies_to(route.id) for rule in configuration.middleware.cors.values()):
        yield from (("header", "origin"), ("header", "access-control-request-method"))


DECLARATION: Final[Declaration] = Declaration(
    "cors",
    for_route,
    before={"authentication": "preflights, which carry no credentials, are refused"},
    guards_quota=True,
    reads=_reads,
    compiled=True,
    by_hand=True,
)
