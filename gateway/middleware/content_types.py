"""Refuses request bodies of other types than those that a route takes (415)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.auth.credentials import has_two
from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response
from gateway.http.decisions import Mode, deny
from gateway.http.media import MediaRanges
from gateway.middleware.declaration import Declaration


@dataclass(frozen=True, slots=True)
class Allowed:
    """One list, and how it is written."""

    rule: str
    types: MediaRanges
    text: str
    mode: Mode

    def fault(self, exchange: Exchange) -> str | None:
        """Why the body is not taken, None if it is."""
        given = exchange.fields.get(b"content-type")
        if given is None:
            return f"the body has no Content-Type; this route takes {self.text}"
        if has_two(exchange, b"content-type"):
            return "there is more than one Content-Type"
        return None if self.types.match(given) else f"this route takes {self.text}"


@dataclass(frozen=True, slots=True)
class ContentTypes:
    """Every list must have the type. RFC 9110, 15.5.16: the 415 lists in `Accept` what is taken."""

    lists: tuple[Allowed, ...]

    def __repr__(self) -> str:
        return f"ContentTypes({'; '.join(allowed.text for allowed in self.lists)})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that sees no bodies of other types."""
        lists = self.lists

        async def typed(exchange: Exchange) -> Response:
            if exchange.body is not None:
                for allowed in lists:
                    fault = allowed.fault(exchange)
                    if fault is not None:
                        headers = ((b"accept", allowed.text.encode()),)
                        error = GatewayError(ErrorKind.UNSUPPORTED_MEDIA_TYPE, fault, headers=headers)
                        deny(exchange, allowed.rule, error, allowed.mode)
            return await handler(exchange)

        return typed

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The first list that refuses the body."""
        if exchange.body is None:
            return None
        for allowed in self.lists:
            fault = allowed.fault(exchange)
            if fault is not None:
                return Decision(allowed.rule, "deny" if allowed.mode == "enforce" else "shadow-deny", fault)
        return None


def for_route(context: Context, route: RouteConfig) -> ContentTypes | None:
    """None where every type is taken."""
    lists = tuple(
        Allowed(f"content_types:{name}", MediaRanges(config.allow), ", ".join(config.allow), config.mode)
        for name, config in context.configuration.middleware.content_types.items()
        if config.applies_to(route.id)
    )
    return ContentTypes(lists) if lists else None


DECLARATION: Final[Declaration] = Declaration("content_types", for_route)
