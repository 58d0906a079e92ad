"""The figures that rules evaluate. Times are seconds since 1970, by a clock that does not jump."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.algorithms.burn_rate import Counted


class Subject(NamedTuple):
    """The subject of an alert: `route`, `upstream`, `endpoint`, `tenant`, `all`, or a kind of a builtin; and its
    name."""

    kind: str
    name: str = ""


class Figures(Protocol):
    """The figures of one subject in one window. Durations are in seconds, None if unknown."""

    @property
    def requests(self) -> int:
        """How many."""
        ...

    @property
    def errors(self) -> int:
        """How many of them failed."""
        ...

    @property
    def throughput(self) -> float:
        """Requests in a second."""
        ...

    @property
    def error_rate(self) -> float:
        """The share, from 0 to 1."""
        ...

    @property
    def p50(self) -> float | None: ...

    @property
    def p90(self) -> float | None: ...

    @property
    def p95(self) -> float | None: ...

    @property
    def p99(self) -> float | None: ...

    @property
    def p999(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the gateway knows of itself, as of now: which builtin it is, of what, and in words."""

    builtin: str
    subject: Subject
    says: str


class Sight(Protocol):
    """All that rules look at."""

    @property
    def since(self) -> float:
        """Since when there are figures."""
        ...

    def subjects(self, kind: str) -> Iterable[str]:
        """The names of those that there are, whether they had requests or not."""
        ...

    def figures(self, subject: Subject, seconds: float, now: float) -> Figures:
        """Its figures in the window that ends now."""
        ...

    def counts(self, subject: Subject, seconds: float, now: float) -> tuple[int, int]:
        """Only the requests and the errors of that, which is faster."""
        ...

    def good(self, rule: str, name: str, seconds: int, now: float) -> Counted:
        """The counts for the objective of a rule, of one route, or of all (an empty name)."""
        ...

    def findings(self, builtin: str) -> Iterable[Finding]:
        """The current findings of this builtin."""
        ...
