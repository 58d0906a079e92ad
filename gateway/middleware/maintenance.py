"""Maintenance mode: 503 and when to try again, for every client that is not exempt."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil
from typing import Final

from gateway.algorithms.networks import NetworkMap
from gateway.config.models import Configuration, RouteConfig
from gateway.config.models.maintenance import Maintenance as Settings
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response
from gateway.http.decisions import Mode, deny
from gateway.middleware.declaration import Declaration
from gateway.plurals import counted

RULE = "maintenance"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """`retry_after` is in seconds. Clients of the exempt networks do not notice."""

    message: str
    retry_after: float
    exempt: NetworkMap[None]
    mode: Mode

    def __repr__(self) -> str:
        return f"Maintenance({self.mode})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses, and asks `handler` only for those who are exempt."""

        async def maintained(exchange: Exchange) -> Response:
            if not self.exempt.covering(exchange.client):
                headers = ((b"retry-after", b"%d" % ceil(self.retry_after)),)
                deny(exchange, RULE, GatewayError(ErrorKind.MAINTENANCE, self.message, headers=headers), self.mode)
            return await handler(exchange)

        return maintained

    async def explain(self, exchange: Exchange) -> Decision | None:
        """Exempt, or not."""
        if self.exempt.covering(exchange.client):
            return Decision(RULE, "allow", f"{exchange.client} is exempt")
        return Decision(RULE, "deny" if self.mode == "enforce" else "shadow-deny", self.message)


def for_route(context: Context, route: RouteConfig) -> Maintenance | None:
    """None where it is off, or the route is exempt."""
    config = context.configuration.middleware.maintenance
    if not _applies(config, route):
        return None
    networks = NetworkMap((network, None) for network in config.exempt_networks)
    return Maintenance(config.message, config.retry_after, networks, config.mode)


def maintained(configuration: Configuration) -> str | None:
    """Which routes are under maintenance, in words; None where none is."""
    config, routes = configuration.middleware.maintenance, configuration.routes.routes
    if not config.enabled or config.mode != "enforce":
        return None
    number = sum(_applies(config, route) for route in routes)
    exempt = "; clients of exempt_networks are served" if config.exempt_networks else ""
    return f"{number} of {counted(len(routes), 'route')} answer 503, as maintenance is on in middleware.yaml{exempt}"


def _applies(config: Settings, route: RouteConfig) -> bool:
    exempt = any(fnmatchcase(route.id, glob) for glob in config.exempt_routes)
    return config.enabled and not exempt and config.applies_to(route.id)


DECLARATION: Final[Declaration] = Declaration("maintenance", for_route, guards_quota=True)
