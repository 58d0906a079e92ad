"""How many series a family may have: beyond that, the rest together is one more, by the label `_other`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.families import Family, Labels, Sample, combined

MOST: Final = 20_000  # series of a family
MOST_HISTOGRAMS: Final = 2_000  # of a family of those, each of which is some twenty lines
OTHER: Final = "_other"


class SeriesLimit:
    """Which series are shown by themselves: those that came first.

    What is in `_other` once stays there while it lives, because a sum that loses a part looks to Prometheus like a
    restart.
    """

    def __init__(self, most: int = MOST, most_histograms: int = MOST_HISTOGRAMS) -> None:
        self._most = most
        self._most_histograms = most_histograms
        self._others: dict[str, frozenset[Labels]] = {}  # by family

    def samples(self, family: Family) -> Iterator[Sample | None]:
        """The exposed samples of a family; None as in `Family.samples`, also for one that was added to the rest."""
        most = self._most_histograms if family.kind in ("histogram", "summary") else self._most
        former, others = self._others.pop(family.name, frozenset()), set[Labels]()
        other, shown, rest = None, 0, (OTHER,) * len(family.labels)
        for sample in family.samples:
            if sample is None:
                yield None
            elif shown < most and sample.labels not in former and (sample.labels != rest or not rest):
                shown += 1
                yield sample
            else:
                others.add(sample.labels)
                other = combined(other, sample, family.merge)
                yield None
        if other is not None:
            self._others[family.name] = frozenset(others)
            yield other._replace(labels=rest)

    def together(self) -> dict[Labels, float]:
        """How many label sets of which family are in `_other`."""
        return {(name,): len(others) for name, others in self._others.items()}
