"""Lets only clients of certain networks in (403)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.algorithms.networks import NetworkMap
from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response
from gateway.http.decisions import Mode, deny
from gateway.middleware.declaration import Declaration


@dataclass(frozen=True, slots=True)
class Allowed:
    """One list."""

    rule: str
    networks: NetworkMap[None]
    mode: Mode


@dataclass(frozen=True, slots=True)
class IpAllow:
    """A client must be in every list."""

    lists: tuple[Allowed, ...]

    def __repr__(self) -> str:
        return f"IpAllow({', '.join(allow.rule for allow in self.lists)})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses the others."""
        lists = self.lists

        async def allowed(exchange: Exchange) -> Response:
            for allow in lists:
                if not allow.networks.covering(exchange.client):
                    deny(exchange, allow.rule, GatewayError(ErrorKind.BLOCKED, _DETAIL), allow.mode)
            return await handler(exchange)

        return allowed

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The first list that the client is not in, or the last that it is in."""
        for allow in self.lists:
            if not allow.networks.covering(exchange.client):
                return Decision(allow.rule, "deny" if allow.mode == "enforce" else "shadow-deny", _DETAIL)
        return Decision(self.lists[-1].rule, "allow", f"{exchange.client} is in its networks")


_DETAIL = "the client's address is not among those that this route allows"


def for_route(context: Context, route: RouteConfig) -> IpAllow | None:
    """None where no list is for the route."""
    lists = tuple(
        Allowed(f"ip_allow:{name}", config.known, config.mode)
        for name, config in context.configuration.middleware.ip_allow.items()
        if config.applies_to(route.id)
    )
    return IpAllow(lists) if lists else None


DECLARATION: Final[Declaration] = Declaration(
    "ip_allow",
    for_route,
    before={"authentication": "clients from anywhere can try credentials"},
    guards_quota=True,
    by_hand=True,
)
