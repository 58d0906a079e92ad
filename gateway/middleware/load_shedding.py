"""Refuses requests of routes of lower priority while the gateway has more to do than it can."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response
from gateway.http.decisions import deny
from gateway.live import LoopLag
from gateway.middleware.declaration import Declaration

RULE: Final = "load_shedding"
LATE: Final[Mapping[str, float]] = {"low": 0.1, "normal": 0.4}
"""Seconds that the event loop is late, from which on some requests of this priority are refused; from twice as many on,
all are."""

_LATER: Final = ((b"retry-after", b"1"),)


@dataclass(frozen=True, slots=True)
class LoadShedding:
    """For the routes of one priority."""

    priority: str
    lag: LoopLag = field(repr=False)

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses while the loop is late."""
        lag, late = self.lag, LATE[self.priority]

        def admitted(exchange: Exchange) -> Awaitable[Response]:
            if lag.seconds > late and random.random() < lag.seconds / late - 1:
                detail = f"it is {lag.seconds * 1000:.0f} ms late, and the route has {self.priority} priority"
                deny(exchange, RULE, GatewayError(ErrorKind.LOAD_SHED, detail, retryable=True, headers=_LATER))
            return handler(exchange)

        return admitted

    async def explain(self, exchange: Exchange) -> Decision | None:
        """As of now."""
        late = self.lag.seconds > LATE[self.priority]
        return Decision(RULE, "deny" if late else "allow", f"the loop is {self.lag.seconds * 1000:.0f} ms late")


def for_route(context: Context, route: RouteConfig) -> LoadShedding | None:
    """None where nothing is refused."""
    if route.priority not in LATE:
        return None
    lag = context.plan.need(("loop lag",), LoopLag, ("routes.yaml", ("routes",)))
    return LoadShedding(route.priority, lag)


DECLARATION: Final[Declaration] = Declaration(
    "load_shedding", for_route, before={"authentication": "refused requests should cost as little as possible"}
)
