"""Where all that rules look at comes from, and what it is together with what is counted and heard beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from gateway.algorithms.burn_rate import Counted
from gateway.monitor.alerts.objectives import Objectives
from gateway.monitor.alerts.sight import Figures, Finding, Subject
from gateway.monitor.alerts.summary import Day


class Source(Protocol):
    """The gateway, as rules see it. Times are Unix times."""

    @property
    def since(self) -> float:
        """Since when there are figures."""
        ...

    async def refresh(self, now: float) -> None:
        """Called before the findings are read."""
        ...

    def subjects(self, kind: str) -> Iterable[str]:
        """See `Sight`."""
        ...

    def figures(self, subject: Subject, seconds: float, now: float) -> Figures:
        """See `Sight`."""
        ...

    def counts(self, subject: Subject, seconds: float, now: float) -> tuple[int, int]:
        """See `Sight`."""
        ...

    def findings(self, builtins: Iterable[str], now: float) -> Iterator[Finding | None]:
        """The current findings of these builtins, in small steps; None is a step without one."""
        ...

    async def day(self, now: float) -> Day | None:
        """The last 24 hours; None where nothing is known of them."""
        ...


class OneLook:
    """A `Sight`: what is seen in one look. `offset` makes Unix time of its times."""

    def __init__(self, source: Source, objectives: Objectives, findings: Sequence[Finding], offset: float) -> None:
        self._source = source
        self._objectives = objectives
        self._findings = findings
        self._offset = offset

    @property
    def since(self) -> float:
        """See `Sight`."""
        return self._source.since - self._offset

    def subjects(self, kind: str) -> Iterable[str]:
        """See `Sight`."""
        return self._source.subjects(kind)

    def figures(self, subject: Subject, seconds: float, now: float) -> Figures:
        """See `Sight`."""
        return self._source.figures(subject, seconds, now + self._offset)

    def counts(self, subject: Subject, seconds: float, now: float) -> tuple[int, int]:
        """See `Sight`."""
        return self._source.counts(subject, seconds, now + self._offset)

    def good(self, rule: str, name: str, seconds: int, now: float) -> Counted:
        """See `Sight`."""
        return self._objectives.window(rule, name, seconds)

    def findings(self, builtin: str) -> Iterator[Finding]:
        """See `Sight`."""
        return (each for each in self._findings if each.builtin == builtin)
