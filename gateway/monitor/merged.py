"""Windows of this gateway and of the others, as one."""

from __future__ import annotations

from typing import Final

from gateway.monitor.slices import Steps, Subjects
from gateway.monitor.tallies import Figures, Kind, Subject, Tally
from gateway.monitor.windows import Point, Windows

NAMES_BYTES: Final = 12 * 1024**2
OWN_BYTES: Final = 22 * 1024**2
OTHERS_BYTES: Final = 5 * 1024**2
"""With what is known of the last look, and what is at work, 64 MiB."""


class Merged:
    """Both, and the subjects of both. `now` is Unix time."""

    def __init__(self) -> None:
        self.subjects = Subjects(NAMES_BYTES)
        self.own = Windows(self.subjects, OWN_BYTES)
        self.others = Windows(self.subjects, OTHERS_BYTES)

    def figures(self, subject: Subject, seconds: int, now: float) -> Figures:
        """The results of a subject in the last so many seconds: a multiple of 10, up to 3,600."""
        tally, watched = self.own.tally(subject, seconds, now)
        more, watched_too = self.others.tally(subject, seconds, now)
        tally.take(more)
        return tally.figures(max(watched, watched_too))

    def names(self, kind: Kind) -> list[tuple[str, int]]:
        """The names and numbers of all subjects of a kind that had requests in the last hour."""
        return self.subjects.of_kind(kind)

    def counts(self, number: int, seconds: int, now: float) -> tuple[int, int]:
        """The requests and errors of the subject with this number, which is faster than all of its figures."""
        requests, errors = self.own.counts(number, seconds, now)
        more, failed = self.others.counts(number, seconds, now)
        return requests + more, errors + failed

    def history(self, subject: Subject, step: int, now: float) -> list[Point]:
        """The last five minutes by ten seconds (a `step` of 10), or the last hour by minutes (60)."""
        both = zip(self.own.history(subject, step, now), self.others.history(subject, step, now), strict=True)
        return [_both(own, other) for own, other in both]

    def drop(self, now: float) -> None:
        """Drop outdated slices."""
        self.own.drop(now)
        self.others.drop(now)

    def forget(self) -> Steps[None]:
        """Forget the subjects of which there is nothing any more."""
        numbers = yield from self.own.numbers()
        numbers |= yield from self.others.numbers()
        yield from self.subjects.forget_all_but(numbers)


def _both(own: Point, other: Point) -> Point:
    if own.tally is None or other.tally is None:
        return other if own.tally is None else own
    tally = Tally()
    tally.take(own.tally)
    tally.take(other.tally)
    return Point(own.start, tally, max(own.seconds, other.seconds))
