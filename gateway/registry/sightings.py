"""Delays the removal of instances: one that is missing once may be missing by mistake."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.upstream.member import Address, Member

MISSES: Final = 3  # consecutive answers without an instance, after which it is removed


@dataclass(frozen=True, slots=True)
class Sighting:
    """An instance, and the question that it is an answer to."""

    member: Member
    question: str


@dataclass(slots=True)
class _Known:
    sighting: Sighting
    misses: int = 0
    missing_since: float = 0.0


class Sightings:
    """The instances of one service. One is removed when MISSES answers lack it, or when it was missing for `hold`."""

    def __init__(self, hold: float) -> None:
        """`hold`: seconds."""
        self._hold = hold
        self._known: dict[Address, _Known] = {}

    def take(self, seen: Mapping[Address, Sighting], unanswered: Collection[str], now: float) -> tuple[Member, ...]:
        """Take the answers. Nothing is said about instances of a query that is unanswered.

        Returns all instances, in the order in which they were first seen: that of an answer means nothing.
        """
        for address, known in list(self._known.items()):
            if address not in seen and known.sighting.question not in unanswered:
                known.missing_since = known.missing_since if known.misses else now
                known.misses += 1
                if known.misses >= MISSES or now - known.missing_since >= self._hold:
                    del self._known[address]
        for address, sighting in seen.items():
            if address in self._known:
                self._known[address].sighting = sighting
                self._known[address].misses = 0
            else:
                self._known[address] = _Known(sighting)
        return tuple(known.sighting.member for known in self._known.values())

    @property
    def incomplete(self) -> bool:
        """Whether some are missing that count as there."""
        return any(known.misses for known in self._known.values())
