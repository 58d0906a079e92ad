"""Where a route may send requests: what stands behind its policies, taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from gateway.http import Handler
from gateway.upstream.asgi import Hosted
from gateway.upstream.breaker import Breaker, Breaking
from gateway.upstream.cluster import Cluster
from gateway.upstream.concurrency import Limited
from gateway.upstream.fallback import Fallback, OtherTarget
from gateway.upstream.hedging import Hedged
from gateway.upstream.layers import OfServers
from gateway.upstream.mirror import Mirroring
from gateway.upstream.service import Upstream
from gateway.upstream.split import Split
from gateway.upstream.way_back import WayBack

Role = Literal["target", "split", "fallback", "mirror"]

ROLES: Final[tuple[Role, ...]] = ("target", "split", "fallback", "mirror")


@dataclass(frozen=True, slots=True)
class Way:
    """One way of a route to what answers."""

    role: Role
    name: str  # as the route has it
    upstream: Upstream | None  # None: it answers in this process
    breaker: Breaker | None = None
    weight: int | None = None  # in a split


def ways_of(handler: Handler) -> list[Way]:
    """All ways, those of most requests first."""
    return sorted(_ways(handler, "target"), key=lambda way: ROLES.index(way.role))


def _ways(handler: Handler, role: Role) -> Iterator[Way]:
    if isinstance(handler, Cluster):
        yield Way(role, handler.name, handler.upstream)
    elif isinstance(handler, Hosted):
        yield Way(role, handler.name, None)
    elif isinstance(handler, OfServers):
        for way in handler.ways_to_servers():
            yield from _ways(way, role)
    elif isinstance(handler, Breaking):
        yield from (replace(way, breaker=handler.breaker) for way in _ways(handler.handler, role))
    elif isinstance(handler, Hedged):
        yield from _ways(handler.cluster, role)
    elif isinstance(handler, Limited | WayBack):
        yield from _ways(handler.handler, role)
    elif isinstance(handler, Fallback):
        yield from _ways(handler.handler, role)
        if isinstance(handler.instead, OtherTarget):
            yield from _ways(handler.instead.handler, "fallback")
    elif isinstance(handler, Mirroring):
        yield from _ways(handler.handler, role)
        yield from _ways(handler.mirror, "mirror")
    elif isinstance(handler, Split):
        yield from _of_split(handler)


def _of_split(split: Split) -> Iterator[Way]:
    """Those with a weight or a condition; the route's own target where there are no weights."""
    for choice in split.choices:
        weight = None if choice.when is not None and not choice.weight else choice.weight
        yield from (replace(way, weight=weight) for way in _ways(choice.handler, "split"))
    if not any(choice.weight for choice in split.choices):
        yield from _ways(split.rest.handler, "target")
