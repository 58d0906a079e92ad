"""The interface of balancers for a service."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from gateway.http.messages import Exchange
from gateway.upstream.endpoint import Endpoint


class Balancer(Protocol):
    """Chooses among the endpoints of one priority of a service, for all routes there. See `gateway/balancing/`."""

    def replace(self, weighted: Sequence[tuple[Endpoint, float]]) -> None:
        """Choose among these from now on, with their weights (above zero). What is known of those that stay is kept."""
        ...

    def replacing(self, weighted: Sequence[tuple[Endpoint, float]]) -> Iterator[None]:
        """The same in steps of a millisecond (see `steps.py`), between which the former ones are picked."""
        ...

    def pick(self, exchange: Exchange, now: float, excluded: Collection[Endpoint]) -> Endpoint | None:
        """The endpoint to try next, or None where none is left. `now` is time.perf_counter()."""
        ...

    def draw(self, exchange: Exchange) -> float:
        """A number in [0, 1) to choose between priorities: random, or constant for a client."""
        ...

    def score(self, endpoint: Endpoint, now: float) -> str:
        """Its figure for one of the candidates, in a few words, for explanations."""
        ...
