"""Conditions of alerts: one class for each kind of rule. They evaluate figures, and do nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.algorithms.burn_rate import BURN_WINDOWS, BurnWindow
from gateway.algorithms.robust_deviation import UNUSUAL, Usual
from gateway.config.values.comparisons import Comparison
from gateway.monitor.alerts.sight import Sight, Subject
from gateway.monitor.alerts.wording import figure, length, number, rate, share, times

SAMPLES: Final = 60  # of which what is usual is made
FEWEST_SAMPLES: Final = 15
FLOOR_SHARE: Final = 0.1  # of the median: a deviation is not less
FLOOR: Final = 0.5  # requests in a second: the same
MOST_SUBJECTS: Final = 10_000  # of which an anomaly knows what is usual

Applies = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The current result of a condition for one subject."""

    subject: Subject
    holds: bool
    says: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    severity: str = ""  # where the condition says how urgent it is; empty: as the rule says
    since: float | None = None  # since when it holds, where that is known


class Condition(Protocol):
    """One of them."""

    @property
    def seconds(self) -> float:
        """The time that it looks at."""
        ...

    def verdicts(self, sight: Sight, now: float) -> Iterator[Verdict]:
        """The result for each subject. A subject without one is fine."""
        ...


def _subjects(kind: str, applies: Applies, sight: Sight) -> Iterator[Subject]:
    if kind == "all":
        yield Subject("all")
        return
    for name in sight.subjects(kind):
        if applies(name):
            yield Subject(kind, name)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Figures over one window, compared with numbers."""

    comparisons: tuple[Comparison, ...]
    kind: str
    applies: Applies
    seconds: float
    minimum: int

    def verdicts(self, sight: Sight, now: float) -> Iterator[Verdict]:
        """See `Condition`. Less than so much is only said of a whole window."""
        less = any(each.operator.startswith("<") for each in self.comparisons)
        if less and now - sight.since < self.seconds:
            return
        for subject in _subjects(self.kind, self.applies, sight):
            if self._may_hold(*sight.counts(subject, self.seconds, now)):
                figures = sight.figures(subject, self.seconds, now)
                values = {each.name: getattr(figures, each.name) for each in self.comparisons}
                if all(values[each.name] is not None and each.holds(values[each.name]) for each in self.comparisons):
                    parts = [
                        f"{figure(each.name, getattr(figures, each.name))} ({each.operator} {each.written})"
                        for each in self.comparisons
                    ]
                    said = any(each.name == "requests" for each in self.comparisons)
                    of = (
                        ""
                        if said
                        else f" of {number(figures.requests)} {'request' if figures.requests == 1 else 'requests'}"
                    )
                    yield Verdict(subject, True, f"{' and '.join(parts)}{of} in {length(self.seconds)}", values)
                    continue
            yield Verdict(subject, False)

    def _may_hold(self, requests: int, errors: int) -> bool:
        """Whether it is worth looking at all figures, which takes longer."""
        if requests < self.minimum:
            return False
        known = {"requests": requests, "errors": errors, "error_rate": errors / requests if requests else 0.0}
        return all(each.holds(known[each.name]) for each in self.comparisons if each.name in known)


@dataclass(frozen=True, slots=True)
class BurnRate:
    """An objective whose budget is used up too fast."""

    rule: str
    objective: float  # from 0 to 1
    kind: str
    applies: Applies
    minimum: int
    seconds: float = BURN_WINDOWS[0].short

    def verdicts(self, sight: Sight, now: float) -> Iterator[Verdict]:
        """See `Condition`: one for each severity, whichever windows burn."""
        for subject in _subjects(self.kind, self.applies, sight):
            said: dict[str, Verdict] = {}
            for window in BURN_WINDOWS:
                verdict = self._over(window, subject, sight, now)
                if verdict is not None:
                    said.setdefault(window.severity, verdict)
            yield from said.values()

    def _over(self, window: BurnWindow, subject: Subject, sight: Sight, now: float) -> Verdict | None:
        long = sight.good(self.rule, subject.name, window.long, now)
        burned = long.burn_rate(self.objective)
        if long.total < self.minimum or burned <= window.rate:
            return None
        short = sight.good(self.rule, subject.name, window.short, now)
        burns = short.burn_rate(self.objective)
        if burns <= window.rate:
            return None
        says = (
            f"{share(long.bad_share)} of {number(long.total)} requests in {length(window.long)} were not good: burn "
            f"rate {times(burned)}, and {times(burns)} in {length(window.short)} (> {window.rate:g})"
        )
        figures = {"burn_rate": burned, "burn_rate_short": burns, "requests": float(long.total)}
        return Verdict(subject, True, says, figures, window.severity)


class _Level:
    """The figures of one subject."""

    __slots__ = ("due", "usual", "values")

    def __init__(self) -> None:
        self.values: deque[float] = deque(maxlen=SAMPLES)
        self.due = 0.0
        self.usual: Usual | None = None

    def add(self, value: float, seconds: float, now: float) -> None:
        """Remember it, once in so many seconds."""
        if now < self.due:
            return
        self.due = now + seconds
        self.values.append(value)
        if len(self.values) >= FEWEST_SAMPLES:
            middle = Usual(self.values, FLOOR).middle
            self.usual = Usual(self.values, max(FLOOR, FLOOR_SHARE * middle))


class Anomaly:
    """A throughput that is far from what is usual. It remembers what that is, of each subject."""

    def __init__(self, kind: str, applies: Applies, seconds: float) -> None:
        self.seconds = seconds
        self._kind = kind
        self._applies = applies
        self._levels: dict[Subject, _Level] = {}

    def verdicts(self, sight: Sight, now: float) -> Iterator[Verdict]:
        """See `Condition`."""
        if now - sight.since < self.seconds:
            return
        former, self._levels = self._levels, {}
        for subject in _subjects(self._kind, self._applies, sight):
            if len(self._levels) >= MOST_SUBJECTS:
                return
            level = self._levels[subject] = former.get(subject) or _Level()
            throughput = sight.figures(subject, self.seconds, now).throughput
            usual = level.usual
            if usual is None or (distance := usual.distance(throughput)) <= UNUSUAL:
                verdict = Verdict(subject, False)
            else:
                says = (
                    f"throughput {rate(throughput)} in {length(self.seconds)}, where {rate(usual.middle)} is usual: "
                    f"{distance:.1f} deviations away (> {UNUSUAL})"
                )
                verdict = Verdict(subject, True, says, {"throughput": throughput, "usual": usual.middle})
            level.add(throughput, self.seconds, now)
            yield verdict


@dataclass(frozen=True, slots=True)
class Absent:
    """No request comes."""

    kind: str
    applies: Applies
    seconds: float

    def verdicts(self, sight: Sight, now: float) -> Iterator[Verdict]:
        """See `Condition`."""
        if sight.since > now:  # nothing is counted
            return
        since = max(sight.since, now - self.seconds)
        for subject in _subjects(self.kind, self.applies, sight):
            none = sight.counts(subject, self.seconds, now)[0] == 0
            yield (
                Verdict(subject, True, "no request came", {"requests": 0.0}, since=since)
                if none
                else Verdict(subject, False)
            )


@dataclass(frozen=True, slots=True)
class Known:
    """Something that the gateway knows of itself."""

    builtin: str
    seconds: float = 30.0

    def verdicts(self, sight: Sight, now: float) -> Iterator[Verdict]:
        """See `Condition`."""
        for finding in sight.findings(self.builtin):
            yield Verdict(finding.subject, True, finding.says)
