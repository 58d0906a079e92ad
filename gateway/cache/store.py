"""The stored data, its keys, and the interface of stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.algorithms.http_cache.terms import Terms

MOST_VARIANTS: Final = 32
"""Responses that are kept of one resource: by Vary, by route, by method. The oldest goes first."""


@dataclass(frozen=True, slots=True)
class Key:
    """`resource` is `host path?query` as clients ask for it, by which it is invalidated and purged.

    `selector` has what else the answer depends on that every request has, Vary apart; it begins with the route's id.
    """

    resource: str
    selector: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A response as it is stored. `at` is by the clock of its store, `initial_age` in seconds."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    initial_age: float
    at: float
    vary: tuple[bytes, ...]
    variant: bytes  # of the request that it was the answer to
    terms: Terms

    def age(self, now: float) -> float:
        """Its current age (RFC 9111, 4.2.3); a clock that goes backwards makes nothing younger than it came."""
        return self.initial_age + max(0.0, now - self.at)


@dataclass(frozen=True, slots=True)
class Purge:
    """The selection to remove: all entries that match every member."""

    route: str | None = None
    host: str | None = None
    path: str | None = None  # with any query, unless it has one itself
    prefix: str | None = None  # of the path

    def fits(self, resource: str) -> bool:
        """Whether a resource is meant, as far as that goes by host and path."""
        host, _, target = resource.partition(" ")
        exact = self.path is None or target == self.path or target.partition("?")[0] == self.path
        begins = self.prefix is None or target.startswith(self.prefix)
        return exact and begins and (self.host is None or host == self.host.lower())

    def fits_route(self, selector: str) -> bool:
        """The same by route."""
        return self.route is None or selector.partition(" ")[0] == self.route


VariantOf = Callable[[tuple[bytes, ...]], bytes]
"""The variant key of a request by these fields (`algorithms/http_cache/vary.py`)."""


class Store(Protocol):
    """Keeps responses. Nothing here raises: what cannot be read is not there, and what cannot be kept is not kept."""

    @property
    def local(self) -> bool:
        """Whether it is in this process: then it answers at once, and `peek` knows everything."""
        ...

    @property
    def size(self) -> int:
        """Bytes that it takes at most."""
        ...

    def resize(self, size: int) -> None:
        """Take at most so many from now on."""
        ...

    def now(self) -> float:
        """The clock that `Stored.at` is by, in seconds."""
        ...

    async def find(self, key: Key, variant_of: VariantOf) -> Stored | None:
        """The latest response under a key that answers this request."""
        ...

    def peek(self, key: Key, variant_of: VariantOf) -> Stored | None:
        """The same, as far as it is known without asking anything outside."""
        ...

    async def keep(self, key: Key, stored: Stored, seconds: float) -> bool:
        """Keep a response for so long, in the place of the same variant; whether that could be done."""
        ...

    async def drop(self, resource: str) -> None:
        """Remove all that is stored of a resource."""
        ...

    async def purge(self, purge: Purge) -> int | None:
        """Remove what is meant; how many responses that were. None where the store does not answer."""
        ...

    def measures(self) -> Mapping[str, float]:
        """Its numbers, for metrics."""
        ...
