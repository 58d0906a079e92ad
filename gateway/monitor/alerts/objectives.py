"""How many requests were good, as objectives have it: counted by request, kept for three days.

A request costs a look-up, and a comparison or two where its route has an objective. All else is done between requests.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.algorithms.burn_rate import Counted
from gateway.config.models.alerts import OF_REQUESTS, AlertRule
from gateway.config.values.comparisons import Comparison, parse_comparisons
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Outcome

KEPT: Final[Mapping[int, int]] = {60: 3600, 300: 3 * 86400}
"""Retention in seconds, by the seconds of a slot."""
MOST: Final = 1000  # series, of 8 KB each
CLIENT_GONE: Final = 499
NOT_UNDERSTOOD: Final = frozenset({ErrorKind.NOT_IMPLEMENTED, ErrorKind.VERSION_NOT_SUPPORTED})
"""Answered 5xx for what the client sent, so that clients cannot spend what an objective allows."""
UPGRADED: Final = 101


class SeriesKey(NamedTuple):
    """Which series: the rule, what it calls good, and the route; empty: all together."""

    rule: str
    good: str
    route: str


class Row(NamedTuple):
    """The counts of one slot, as they are stored."""

    key: SeriesKey
    step: int  # seconds of the slot
    slot: int  # how many of them since 1970
    good: int
    total: int


class _Ring:
    """The counts of the last slots. If the clock goes back, the last one is used."""

    __slots__ = ("_good", "_total", "last", "size", "step")

    def __init__(self, step: int, now: float) -> None:
        self.step = step
        self.size = KEPT[step] // step + 1
        self.last = int(now // step)
        self._good = array("I", [0]) * self.size
        self._total = array("I", [0]) * self.size

    def add(self, good: int, total: int, slot: int) -> None:
        """Count these in a slot, the last one or an earlier one that is still known."""
        if slot > self.last - self.size:
            at = slot % self.size
            self._good[at] = min(2**32 - 1, self._good[at] + good)
            self._total[at] = min(2**32 - 1, self._total[at] + total)

    def advance(self, now: float) -> None:
        """Begin the slots up to now."""
        slot = int(now // self.step)
        for begun in range(max(self.last, slot - self.size) + 1, slot + 1):
            self._good[begun % self.size] = self._total[begun % self.size] = 0
        self.last = max(self.last, slot)

    def sum(self, seconds: int) -> Counted:
        """The counts of so many seconds, of which the last slot has only begun."""
        first = self.last - min(seconds // self.step, self.size - 1)
        begin, end = first % self.size, self.last % self.size + 1
        if begin < end:
            return Counted(sum(self._good[begin:end]), sum(self._total[begin:end]))
        good = sum(self._good[begin:]) + sum(self._good[:end])
        return Counted(good, sum(self._total[begin:]) + sum(self._total[:end]))

    def of(self, slot: int) -> Counted:
        """The counts of one slot."""
        return Counted(self._good[slot % self.size], self._total[slot % self.size])


class Series:
    """One of them. `good` and `total` are those of this process, and only grow."""

    __slots__ = ("_added", "_changed", "_rings", "_unsaved", "good", "total")

    def __init__(self, now: float) -> None:
        self.good = 0
        self.total = 0
        self._added = 0, 0
        self._changed = False  # since it was kept
        self._rings = [_Ring(step, now) for step in KEPT]
        self._unsaved = [ring.last for ring in self._rings]  # the first slot that is not kept as it is

    def advance(self, now: float, others_good: int = 0, others_total: int = 0) -> None:
        """Advance the time, and add the counts of other processes."""
        good, total = self._added
        self._added = self.good, self.total
        self._changed = self._changed or self.total != total or others_total > 0
        for ring in self._rings:
            ring.advance(now)
            ring.add(self.good - good + others_good, self.total - total + others_total, ring.last)

    def window(self, seconds: int) -> Counted:
        """The counts of so many seconds, and up to a slot more."""
        return next(ring for ring in self._rings if seconds <= KEPT[ring.step]).sum(seconds)

    def unsaved(self, key: SeriesKey) -> Iterator[Row]:
        """Counts to store, if something has changed; the last slot is sent again."""
        if not self._changed:
            return
        self._changed = False
        for index, ring in enumerate(self._rings):
            for slot in range(max(self._unsaved[index], ring.last - ring.size + 1), ring.last + 1):
                if (counted := ring.of(slot)).total:
                    yield Row(key, ring.step, slot, counted.good, counted.total)
            self._unsaved[index] = ring.last

    def restore(self, rows: Iterable[Row]) -> None:
        """Add what was kept."""
        for row in rows:
            for ring in self._rings:
                if ring.step == row.step and row.slot <= ring.last:
                    ring.add(row.good, row.total, row.slot)


@dataclass(frozen=True, slots=True)
class Objective:
    """The condition of good requests of a rule, for all together or by route."""

    rule: str
    text: str
    statuses: tuple[Comparison, ...]
    durations: tuple[Comparison, ...]
    by_route: bool

    def good(self, status: int, seconds: float) -> bool:
        """Whether a request was."""
        return all(each.holds(status) for each in self.statuses) and all(each.holds(seconds) for each in self.durations)

    def key(self, route: str) -> SeriesKey:
        """The series of a route, or that of all."""
        return SeriesKey(self.rule, self.text, route if self.by_route else "")


def _objective(name: str, rule: AlertRule) -> Objective:
    assert rule.good is not None
    comparisons = parse_comparisons(rule.good, OF_REQUESTS, "")
    statuses = tuple(each for each in comparisons if each.name == "status")
    durations = tuple(each for each in comparisons if each.name == "duration")
    return Objective(name, rule.good, statuses, durations, rule.subjects == "route")


class Objectives:
    """All of them, and what was counted. On the event loop only."""

    def __init__(self) -> None:
        self.series: dict[SeriesKey, Series] = {}
        self.left_out = 0  # series beyond MOST
        self._by_route: Mapping[str | None, tuple[tuple[Objective, Series], ...]] = {}
        self._of_all: tuple[tuple[Objective, Series], ...] = ()
        self._keys: Mapping[tuple[str, str], SeriesKey] = {}
        self._others: Mapping[str, Mapping[SeriesKey, tuple[int, int]]] = {}

    def configure(self, rules: Mapping[str, AlertRule], routes: Iterable[str], now: float) -> list[SeriesKey]:
        """Count for these rules and routes. Answers which series are new."""
        former, self.series, self.left_out = self.series, {}, 0
        new: list[SeriesKey] = []

        def series(objective: Objective, route: str) -> Series | None:
            key = objective.key(route)
            if key not in self.series:
                if len(self.series) >= MOST:
                    self.left_out += 1
                    return None
                if key not in former:
                    new.append(key)
                self.series[key] = former.get(key) or Series(now)
            return self.series[key]

        objectives = [(_objective(name, rule), rule) for name, rule in rules.items() if rule.objective is not None]
        of_all = [(each, made) for each, _ in objectives if not each.by_route and (made := series(each, ""))]
        by_route: dict[str | None, tuple[tuple[Objective, Series], ...]] = {}
        for route in routes if objectives else ():
            counted = [
                (each, made)
                for each, rule in objectives
                if each.by_route and rule.applies_to(route) and (made := series(each, route))
            ]
            if counted:
                by_route[route] = (*of_all, *counted)
        self._of_all, self._by_route = tuple(of_all), by_route
        self._keys = {(key.rule, key.route): key for key in self.series}
        return new

    @property
    def any(self) -> bool:
        """Whether anything is to be counted."""
        return bool(self.series)

    def report(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange is over. See `Report`. What a client gave up, WebSockets, and unknown methods do not count."""
        status, error = outcome.status, exchange.error
        if status in (CLIENT_GONE, UPGRADED) or (isinstance(error, GatewayError) and error.kind in NOT_UNDERSTOOD):
            return
        for objective, series in self._by_route.get(exchange.route, self._of_all):
            series.total += 1
            series.good += objective.good(status, outcome.seconds)

    def advance(self, now: float, others: Mapping[str, Mapping[SeriesKey, tuple[int, int]]] | None = None) -> None:
        """Advance the time. `others`: counts of other gateways up to now, by gateway; None: unknown."""
        former, self._others = self._others, self._others if others is None else others
        for key, series in self.series.items():
            good = total = 0
            for gateway, counts in (others or {}).items():
                before, now_counted = former.get(gateway, {}).get(key), counts.get(key)
                if before is not None and now_counted is not None:
                    good += max(0, now_counted[0] - before[0])
                    total += max(0, now_counted[1] - before[1])
            series.advance(now, min(good, total), total)

    def window(self, rule: str, route: str, seconds: int) -> Counted:
        """The counts of a rule, of a route or of all; empty if it does not count."""
        key = self._keys.get((rule, route))
        return Counted(0, 0) if key is None else self.series[key].window(seconds)

    def unsaved(self) -> list[Row]:
        """Counts to store."""
        return [row for key, series in self.series.items() for row in series.unsaved(key)]

    def restore(self, rows: Iterable[Row]) -> None:
        """Add what was kept, where it is still wanted."""
        for row in rows:
            if row.key in self.series:
                self.series[row.key].restore([row])
