"""Metric families: name, kind, labels and values, whatever the exposition format. Values of two processes merge.

Every metric comes from a `Source`, which is read on demand. The exposition formats are
in `exposition/`; OpenTelemetry's names are derived from the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeVar

from gateway.algorithms.percentiles import Sketch
from gateway.algorithms.sizes import Sizes

Kind = Literal["counter", "gauge", "histogram", "info", "summary", "unknown"]
Merge = Literal["sum", "max", "min", "last"]
Labels = tuple[str, ...]
L = TypeVar("L", bound=Labels)

SECONDS: Final[tuple[float, ...]] = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(30.0, 60.0, 120.0, 300.0),
)
"""Bounds of durations: those of OpenTelemetry's HTTP conventions, and then those of answers that are long in coming."""

BYTES: Final[tuple[float, ...]] = tuple(2.0**power for power in (8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30))
"""Bounds of sizes: 256 bytes to 1 GiB."""


@dataclass(slots=True)
class Buckets:
    """A histogram or summary that was counted elsewhere."""

    count: float = 0
    total: float = 0.0
    points: list[tuple[float, float]] = field(default_factory=list)  # (bound, how many are within), (quantile, value)


Distribution = Sketch | Sizes | Buckets
Value = float | Distribution


class Exemplar(NamedTuple):
    """One request among those that were counted, of which there is a trace."""

    trace_id: str
    span_id: str
    value: float  # seconds
    at: float  # Unix time


class Sample(NamedTuple):
    """One value of a family, and what it is of."""

    labels: Labels  # the values, in the order of the family's names
    value: Value
    exemplars: tuple[Exemplar, ...] = ()  # of a histogram


@dataclass(frozen=True, slots=True)
class Family:
    """Numbers of one name. `samples` may be made while they are read, and are read once."""

    name: str  # in Prometheus's form, with its unit, and `_total` where it is a counter
    kind: Kind
    help: str
    labels: Labels = ()  # the names
    samples: Iterable[Sample | None] = ()  # None: another one is coming, but its making took a while
    merge: Merge = "sum"  # how the values of several processes become one
    bounds: tuple[float, ...] = SECONDS  # of a histogram's classic buckets

    @property
    def unit(self) -> str:
        """By the name: `seconds`, `bytes`, or none."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in ("seconds", "bytes") else ""


Source = Callable[[], Iterable[Family]]


def counter(name: str, help: str, values: Mapping[L, float], labels: Labels = ()) -> Family:
    """A family that only grows, from numbers as of now."""
    return Family(name, "counter", help, labels, samples_of(values))


def gauge(name: str, help: str, values: Mapping[L, float], labels: Labels = (), merge: Merge = "sum") -> Family:
    """A family that goes up and down, from numbers as of now."""
    return Family(name, "gauge", help, labels, samples_of(values), merge)


def samples_of(values: Mapping[L, float]) -> list[Sample]:
    """Each of them."""
    return [Sample(labels, value) for labels, value in values.items()]


def merged(processes: Iterable[Iterable[Family]]) -> list[Family]:
    """The families of several processes as those of one, in the order in which they come first."""
    families: dict[str, Family] = {}
    values: dict[str, dict[Labels, Sample]] = {}
    for process in processes:
        for family in process:
            known = families.setdefault(family.name, family)
            together = values.setdefault(family.name, {})
            for sample in family.samples:
                if sample is not None:
                    together[sample.labels] = combined(together.get(sample.labels), sample, known.merge)
    return [replace(family, samples=list(values[name].values())) for name, family in families.items()]


def combined(known: Sample | None, other: Sample, merge: Merge) -> Sample:
    """Two samples as one, with the labels of the first. `known` is one that this has returned, and may be changed; what
    it returns shares nothing with `other`."""
    if known is None:
        return other._replace(value=other.value.copy() if isinstance(other.value, Sketch | Sizes) else other.value)
    match known.value, other.value:
        case Sketch() as mine, Sketch() as its:
            mine.merge(its)
        case Sizes() as mine, Sizes() as its:
            mine.merge(its)
        case Buckets() as mine, Buckets() as its:
            # Histograms with the same bounds; of others, and of summaries, the count and the sum.
            same = [bound for bound, _ in mine.points] == [bound for bound, _ in its.points]
            pairs = zip(mine.points, its.points, strict=True) if same else ()
            points = [(bound, first + second) for (bound, first), (_, second) in pairs]
            return known._replace(value=Buckets(mine.count + its.count, mine.total + its.total, points))
        case int() | float() as mine, int() | float() as its:
            return known._replace(value=_number(mine, its, merge))
        case mine, its:
            raise TypeError(f"{type(mine).__name__} and {type(its).__name__} are not of one family")
    newest = max(known.exemplars, other.exemplars, key=lambda some: max((each.at for each in some), default=0.0))
    return known._replace(exemplars=newest)


def _number(one: float, other: float, merge: Merge) -> float:
    match merge:
        case "sum":
            return one + other
        case "max":
            return max(one, other)
        case "min":
            return min(one, other)
        case "last":
            return other
