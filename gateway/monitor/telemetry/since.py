"""Differences since the last reading, for collectors that want delta temporality."""

from __future__ import annotations

from typing import Final

from gateway.algorithms.percentiles import Sketch
from gateway.algorithms.sizes import Sizes
from gateway.families import Buckets, Family, Labels, Value

DIFFERENT: Final = frozenset({"counter", "histogram"})
"""Kinds of family that only grow."""

Key = tuple[str, Labels]


class Since:
    """Remembers one reading. For one thread."""

    def __init__(self, began: float) -> None:
        self.began = began  # Unix time, of the next report
        self._former: dict[Key, Value] = {}
        self._latest: dict[Key, Value] = {}

    def value(self, family: Family, labels: Labels, value: Value) -> Value:
        """The difference of this value to the former reading."""
        key = (family.name, labels)
        self._latest[key] = value
        former = self._former.get(key)
        return value if former is None else difference(value, former)

    def done(self, at: float) -> None:
        """End the reading of this time."""
        self.began, self._former, self._latest = at, self._latest, {}


def difference(value: Value, former: Value) -> Value:
    """The value itself where it is less than it was: then it was begun anew."""
    match value, former:
        case Sketch() as now, Sketch() as then:
            return now.minus(then) if now.count >= then.count else now
        case Sizes() as now, Sizes() as then:
            return _of_sizes(now, then) if now.count >= then.count else now
        case Buckets() as now, Buckets() as then:
            return _of_buckets(now, then) if now.count >= then.count else now
        case int() | float() as now, int() | float() as then:
            return now - then if now >= then else now
        case _:
            return value


def _of_sizes(now: Sizes, then: Sizes) -> Sizes:
    made = now.copy()
    made.count, made.total, made.zeros = now.count - then.count, now.total - then.total, now.zeros - then.zeros
    for at, count in enumerate(then.counts):
        made.counts[at] -= count
    return made


def _of_buckets(now: Buckets, then: Buckets) -> Buckets:
    known = dict(then.points)
    points = [(bound, count - known.get(bound, 0.0)) for bound, count in now.points]
    return Buckets(now.count - then.count, now.total - then.total, points)
