"""Windows over what came of requests: the last 10 seconds to the last hour, by subject, within a bounded memory.

Time is cut into slices of 10 seconds, which are kept for five minutes, of a minute, for an hour, and of five minutes,
for an hour, too. A window is the sum of the slices that it is made of, the longest that fit. Where there is not room
for all, the finest and oldest go first, by which histories become shorter; and each slice is bounded, so that there is
room for those that windows need. `now` is Unix time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.monitor.slices import Pending, Slice, Steps, Subjects, Written, collected, sealed, summed
from gateway.monitor.tallies import Figures, Subject, Tally, requests_of

FINE: Final = 10  # seconds
MINUTE: Final = 60
COARSE: Final = 300
HOUR: Final = 3600
KEPT: Final = {FINE: 30, MINUTE: 60, COARSE: 12}  # slices of each length
STEPS: Final = (COARSE, MINUTE, FINE)
_NEEDED: Final = {FINE: 6, MINUTE: 6, COARSE: 12}  # of these, without which windows would be lacking
_LATE: Final = 2  # slices of 10 seconds that may lack at the end of a window, because they are not made yet


@dataclass(frozen=True, slots=True)
class Point:
    """One slice of a history. None: it was not watched then."""

    start: int
    tally: Tally | None
    seconds: float = 0.0


class Windows:
    """The slices of one gateway, or of several together. `subjects` may be shared."""

    def __init__(self, subjects: Subjects, most_bytes: int) -> None:
        self.subjects = subjects
        self._slices: dict[int, dict[int, Slice]] = {step: {} for step in STEPS}  # by length and start
        self._most_bytes = most_bytes
        self._room = most_bytes // (sum(_NEEDED.values()) + 1)  # of a slice; one is being made
        self._version = 0
        self._covered: tuple[tuple[int, int, int], list[Slice]] = ((0, 0, 0), [])

    # What is kept.

    def sealed(self, start: int, seconds: float, pending: Pending, left_out: int = 0) -> Steps[Slice]:
        """A slice, which is not put here yet."""
        return (yield from sealed(start, seconds, pending, self._room, self.subjects.other, left_out))

    def put(self, step: int, piece: Slice) -> Steps[None]:
        """A slice of this length is over; it is added to what is known of its time already."""
        start, late = piece.start - piece.start % step, piece
        known = self._slices[step].get(start)
        if known is not None:
            # Of two processes in this time, or of one after the other.
            seconds = max(piece.seconds, known.seconds, min(float(step), piece.seconds + known.seconds))
            pending = yield from collected([known, piece])
            piece = yield from self.sealed(start, seconds, pending, piece.left_out + known.left_out)
        self._keep(step, start, piece)
        if step == MINUTE and start - start % COARSE in self._slices[COARSE]:  # it comes late
            yield from self.put(COARSE, late)

    def _keep(self, step: int, start: int, piece: Slice) -> None:
        self._slices[step][start] = piece
        self._version += 1
        while self.size > self._most_bytes:
            more = [self._slices[each] for each in (FINE, MINUTE) if len(self._slices[each]) > _NEEDED[each]]
            if not more:
                return
            del more[0][min(more[0])]

    def combine(self, step: int, start: int, of: int) -> Steps[None]:
        """Make a slice anew, of those of another length (`of`) that are within it."""
        start -= start % step
        within = [found for at in range(start, start + step, of) if (found := self._slices[of].get(at)) is not None]
        if within:
            self._keep(step, start, (yield from self.together(start, within)))

    def together(self, start: int, pieces: Sequence[Slice]) -> Steps[Slice]:
        """One slice of several that follow each other, which is not put here yet."""
        pending = yield from collected(pieces)
        seconds, left_out = sum(each.seconds for each in pieces), max(each.left_out for each in pieces)
        return (yield from self.sealed(start, seconds, pending, left_out))

    def read(self, step: int, data: bytes) -> Steps[Slice]:
        """A slice that was written (see `slices.written`), which is not put here yet. Raises ValueError."""
        found, pending = Written(data), dict[int, bytes]()
        for subject, packed in found.read():
            number = self.subjects.number(*subject)
            pending[number] = summed([pending[number], packed]) if number in pending else packed
            yield
        start = found.start - found.start % step
        return (yield from self.sealed(start, found.seconds, pending, found.left_out))

    @property
    def left_out(self) -> int:
        """The number of incomplete subjects, in the slice with most of them."""
        return max((piece.left_out for slices in self._slices.values() for piece in slices.values()), default=0)

    def drop(self, now: float) -> None:
        """Drop slices that are outdated, or in the future after a change of the clock."""
        for step, slices in self._slices.items():
            oldest = int(now) - int(now) % step - step * KEPT[step]
            for start in [start for start in slices if not oldest <= start <= now + step]:
                del slices[start]
                self._version += 1

    def clear(self) -> None:
        """Drop all slices."""
        for slices in self._slices.values():
            slices.clear()
        self._version += 1

    def numbers(self) -> Steps[set[int]]:
        """The numbers of all subjects of which there is something."""
        found: set[int] = set()
        for slices in self._slices.values():
            for piece in list(slices.values()):
                found.update(piece.numbers)
                yield
        return found

    @property
    def size(self) -> int:
        """Bytes that the slices take."""
        return sum(piece.size for slices in self._slices.values() for piece in slices.values())

    # What they say.

    def cover(self, seconds: int, now: float) -> list[Slice]:
        """The slices of a window that ends now, or with the last slice that is made."""
        end = int(now) - int(now) % FINE
        key = (self._version, seconds, end)
        if self._covered[0] != key:
            end = next(
                (
                    at
                    for at in range(end, end - FINE * (_LATE + 1), -FINE)
                    if any(at - step in slices for step, slices in self._slices.items())
                ),
                end,
            )
            found, at = [], end - seconds
            while at < end:
                for step in STEPS:
                    piece = self._slices[step].get(at) if at % step == 0 and at + step <= end else None
                    if piece is not None:
                        found.append(piece)
                        at += step
                        break
                else:
                    at += FINE - at % FINE
            self._covered = key, found
        return self._covered[1]

    def tally(self, subject: Subject, seconds: int, now: float) -> tuple[Tally, float]:
        """The results of a subject in a window, and how many seconds of it were observed."""
        number, tally, watched = self.subjects.find(subject), Tally(), 0.0
        for piece in self.cover(seconds, now):
            watched += piece.seconds
            packed = piece.find(number) if number is not None else None
            if packed is not None:
                tally.add(packed)
        return tally, watched

    def figures(self, subject: Subject, seconds: int, now: float) -> Figures:
        """The same as figures."""
        tally, watched = self.tally(subject, seconds, now)
        return tally.figures(watched)

    def counts(self, number: int, seconds: int, now: float) -> tuple[int, int]:
        """Only the requests and the errors, of the subject with this number; which is faster."""
        requests = errors = 0
        for piece in self.cover(seconds, now):
            packed = piece.find(number)
            if packed is not None:
                more, failed = requests_of(packed)
                requests += more
                errors += failed
        return requests, errors

    def history(self, subject: Subject, step: int, now: float) -> list[Point]:
        """The slices of this length, the oldest first, with those that were not watched."""
        number = self.subjects.find(subject)
        end = int(now) - int(now) % step
        points = []
        for start in range(end - step * KEPT[step], end, step):
            piece = self._slices[step].get(start)
            if piece is None:
                points.append(Point(start, None))
                continue
            tally = Tally()
            packed = piece.find(number) if number is not None else None
            if packed is not None:
                tally.add(packed)
            points.append(Point(start, tally, piece.seconds))
        return points
