"""A compiled condition, and the error of one that means nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.algorithms.conditions.facts import Facts

Test = Callable[[Facts], bool]

IDENTITY: Final = frozenset({"consumer", "tenant", "groups", "scopes", "claims"})
"""The names of what is known of the caller only."""


class ConditionError(ValueError):
    """The condition means nothing. `offset` is the character, from 0, at which that shows."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class PathTest:
    """A text that `path` is compared with, as it is written."""

    how: str  # equals, startswith, endswith or matches
    text: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that can be asked. `names` are those that it asks about: `claims`, `time`.

    `headers` and `parameters` are those whose values it reads, header names in lower case. `path_tests` are the texts
    that `path` is compared with.
    """

    text: str
    names: frozenset[str]
    headers: frozenset[str]
    parameters: frozenset[str]
    holds: Test
    path_tests: tuple[PathTest, ...] = ()

    @property
    def about_caller(self) -> bool:
        """Whether it asks who calls."""
        return not self.names.isdisjoint(IDENTITY)
