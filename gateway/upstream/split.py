"""A route that leads to several services: which one a request gets, always the same for one client."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final
from zlib import crc32

from gateway.algorithms.conditions import Calendar, Condition, Facts
from gateway.algorithms.linear_regex import TextTooLong
from gateway.http import Exchange, Handler, Response
from gateway.routes.conditions import Asked, Requirement
from gateway.upstream.sticky import StickyCookie

_SPREAD: Final = 0x9E3779B1


@dataclass(frozen=True, slots=True)
class When:
    """Which requests an entry gets, whatever the weights: all of this must hold. What is None is not asked for.

    `requirements` are not strict: whatever a request has in them, there is a service for it.
    """

    requirements: tuple[Requirement, ...]
    groups: frozenset[str] | None
    consumers: frozenset[str] | None
    tenants: frozenset[str] | None
    condition: Condition | None
    calendar: Calendar

    def holds(self, exchange: Exchange) -> bool:
        """Whether it is one of them."""
        try:
            fits = self._caller_fits(exchange) and self._has(exchange)
            return fits and (
                self.condition is None or self.condition.holds(Facts(exchange, time.time(), self.calendar))
            )
        except TextTooLong:
            return False

    def _caller_fits(self, exchange: Exchange) -> bool:
        identity = exchange.identity
        if self.groups is self.consumers is self.tenants is None:
            return True
        if identity is None:
            return False
        return (
            (self.groups is None or not self.groups.isdisjoint(identity.groups))
            and (self.consumers is None or identity.consumer in self.consumers)
            and (self.tenants is None or identity.tenant in self.tenants)
        )

    def _has(self, exchange: Exchange) -> bool:
        if not self.requirements:
            return True
        asked = Asked(exchange.query, exchange.headers, exchange.fields)
        return all(each.holds(asked) for each in self.requirements)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the services."""

    name: str
    handler: Handler
    weight: int = 0
    when: When | None = None


class Keeping:
    """The clients that stay with one of the services of a split, by a cookie that says which.

    The cookie has a keyed hash of the service's name, and none of the route's: routes that are split over the same
    services may share it, and a client has the same version on all of them.
    """

    __slots__ = ("_names", "_tokens", "cookie")

    def __init__(self, cookie: StickyCookie, names: Iterable[str]) -> None:
        """`names`: the services that keep their clients."""
        self.cookie = cookie
        self._names = tuple(names)
        self._tokens: dict[bytes, str] = {}

    def bound(self, exchange: Exchange) -> str | None:
        """The service that a client is bound to."""
        values = self.cookie.held(exchange)
        if not values:
            return None
        if not self._tokens:  # not before the key has started
            self._tokens = {self._token(name): name for name in self._names}
        return next((self._tokens[value] for value in values if value in self._tokens), None)

    def remember(self, exchange: Exchange, name: str, response: Response) -> None:
        """A service has answered a client that was not bound: it stays there from now on, unless that failed."""
        self.cookie.bind(exchange, self._token(name), response)

    def _token(self, name: str) -> bytes:
        return self.cookie.token("split", name)


@dataclass(frozen=True, slots=True)
class Split:
    """Hands a request to one of several services. A Handler.

    The first `when` that holds decides; then the cookie of a client that is to stay where it was. Otherwise a number
    from [0, 1) does, which is the same for a client on all gateways: a hash of who calls or, where that is not known,
    of the client's address. The entries share [0, 1) by their weights, in their order, so that a small change of
    weights moves few clients.
    """

    route: str
    choices: tuple[Choice, ...]
    rest: Choice  # where there are no weights
    anonymous: frozenset[str] = frozenset()  # schemes that do not identify clients
    keeping: Keeping | None = None  # None: a change of weights moves clients
    _matching: tuple[Choice, ...] = field(init=False)
    _weighted: tuple[Choice, ...] = field(init=False)
    _bounds: tuple[int, ...] = field(init=False)
    _by_name: Mapping[str, Choice] = field(init=False)

    def __post_init__(self) -> None:
        weighted = tuple(choice for choice in self.choices if choice.weight) or (self.rest,)
        object.__setattr__(self, "_matching", tuple(choice for choice in self.choices if choice.when is not None))
        object.__setattr__(self, "_weighted", weighted)
        object.__setattr__(self, "_bounds", tuple(accumulate(choice.weight for choice in weighted)))
        object.__setattr__(self, "_by_name", {choice.name: choice for choice in (self.rest, *self.choices, *weighted)})

    def __call__(self, exchange: Exchange) -> Awaitable[Response]:
        """Forward it."""
        if self.keeping is None:
            return self.choose(exchange).handler(exchange)
        decided = self._matched(exchange) or self._bound(exchange)
        return decided.handler(exchange) if decided is not None else self._first(exchange, self.keeping)

    async def _first(self, exchange: Exchange, keeping: Keeping) -> Response:
        """Forward it for a client that is not bound yet, and have the client stay there."""
        chosen = self._drawn(exchange)
        response = await chosen.handler(exchange)
        keeping.remember(exchange, chosen.name, response)
        return response

    def choose(self, exchange: Exchange) -> Choice:
        """Who gets it."""
        return self._matched(exchange) or self._bound(exchange) or self._drawn(exchange)

    def _matched(self, exchange: Exchange) -> Choice | None:
        for choice in self._matching:
            if choice.when is not None and choice.when.holds(exchange):
                return choice
        return None

    def _bound(self, exchange: Exchange) -> Choice | None:
        name = self.keeping.bound(exchange) if self.keeping is not None else None
        return None if name is None else self._by_name[name]

    def _drawn(self, exchange: Exchange) -> Choice:
        if len(self._weighted) == 1:
            return self._weighted[0]
        # Multiplied by 2**32 over the golden ratio, so that similar names are not near one another, either.
        identity = exchange.identity
        known = identity is not None and identity.scheme not in self.anonymous
        who = f"@{identity.consumer}" if known and identity is not None else exchange.client
        place = ((crc32(f"{self.route} {who}".encode()) * _SPREAD & 0xFFFFFFFF) * self._bounds[-1]) >> 32
        return self._weighted[bisect_right(self._bounds, place)]

    def describe(self, exchange: Exchange) -> str:
        """Who gets it, and why."""
        if (chosen := self._matched(exchange)) is not None:
            why = "its `when` holds"
        elif (chosen := self._bound(exchange)) is not None:
            why = "the client has its cookie" + ("" if chosen.weight else "; no others get there, as its weight is 0")
        else:
            chosen = self._drawn(exchange)
            why = f"the client falls into its share of {chosen.weight} in {self._bounds[-1]}"
        return f"split: {chosen.name}, since {why}"

    def inner(self, exchange: Exchange) -> Handler:
        """See `Layer`."""
        return self.choose(exchange).handler
