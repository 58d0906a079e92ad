"""Request results of one slice of time, by subject: packed into one block of bytes, which never changes.

A block is bounded. Where it would take more, the least busy subjects lose their durations first; where that is not
enough, the least busy ones are counted together, as `_other` of their kind. All work on many subjects is done by
generators, a step with each of their values.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeVar

from gateway.monitor.tallies import BYTE_ORDER, KINDS, Kind, Subject, Tally, bare, bare_size, check, requests_of

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Work in steps, and what comes of it."""

OTHER: Final = "_other"

ENTRY_BYTES: Final = 8  # of a subject, beside its tally: its number, and where the tally ends
_CLASSES: Final = 65  # of subjects, by how many requests they had: 0, 1, 2 to 3, 4 to 7, and so on
_SORTED_AT_ONCE: Final = 2000
_AT_ONCE: Final = 50  # subjects, in one step
_LONGEST_NAME: Final = 2**16 - 1

_HEAD: Final = struct.Struct("<2scQdII")  # what it is, its byte order, start, seconds, subjects, left out
_NAME: Final = struct.Struct("<BHI")  # kind, and the sizes of a name and of a tally
_MAGIC: Final = b"S1"
_ORDER: Final = BYTE_ORDER[:1].encode()

Pending = dict[int, bytes]
"""Packed tallies, by the number of their subject."""


class Slice:
    """One of them. Subjects are numbers (see `Subjects`), in ascending order."""

    __slots__ = ("_data", "_ends", "left_out", "numbers", "seconds", "start")

    def __init__(
        self, start: int, seconds: float, numbers: array[int], ends: array[int], data: bytes, left_out: int
    ) -> None:
        self.start = start  # Unix time
        self.seconds = seconds  # that were watched
        self.numbers = numbers
        self.left_out = left_out  # subjects whose durations, or who, are not in it
        self._ends = ends
        self._data = data

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self._data) + ENTRY_BYTES * len(self.numbers)

    def find(self, number: int) -> bytes | None:
        """The packed tally of a subject; None where nothing came for it."""
        at = bisect_left(self.numbers, number)
        return self.at(at) if at < len(self.numbers) and self.numbers[at] == number else None

    def at(self, at: int) -> bytes:
        """The packed tally at this place."""
        return self._data[self._ends[at - 1] if at else 0 : self._ends[at]]

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Each subject's number, and its packed tally."""
        begin = 0
        for number, end in zip(self.numbers, self._ends, strict=True):
            yield number, self._data[begin:end]
            begin = end


def collected(slices: Sequence[Slice]) -> Steps[Pending]:
    """The sum of several slices, by subject."""
    pending: Pending = {}
    for count, (number, same) in enumerate(groupby(merge(*slices, key=itemgetter(0)), key=itemgetter(0))):
        tallies = [packed for _, packed in same]
        pending[number] = tallies[0] if len(tallies) == 1 else summed(tallies)
        if count % _AT_ONCE == 0:
            yield
    return pending


def summed(tallies: Sequence[bytes]) -> bytes:
    """The sum of several packed tallies."""
    tally = Tally()
    for packed in tallies:
        tally.add(packed)
    return tally.pack()


def sealed(
    start: int, seconds: float, pending: Pending, room: int, other: Callable[[int], int], left_out: int = 0
) -> Steps[Slice]:
    """A slice of this, which is used up, that takes about `room` bytes at most.

    `other` answers with the number of the subject as which another one is counted.
    """
    left_out += yield from _trim(pending, room, other)
    numbers, ends, data = array("I"), array("I"), bytearray()
    for count, number in enumerate((yield from _ascending(pending))):
        numbers.append(number)
        data += pending[number]
        ends.append(len(data))
        if count % _AT_ONCE == 0:
            yield
    return Slice(start, seconds, numbers, ends, bytes(data), left_out)


def _trim(pending: Pending, room: int, other: Callable[[int], int]) -> Steps[int]:
    """Make it fit. Answers of how many subjects something was left out."""
    needed, more = [0] * _CLASSES, [0] * _CLASSES
    for count, packed in enumerate(pending.values()):
        busy, size = requests_of(packed)[0].bit_length(), bare_size(packed)
        needed[busy] += size + ENTRY_BYTES
        more[busy] += len(packed) - size
        if count % _AT_ONCE == 0:
            yield
    if sum(needed) + sum(more) <= room:
        return 0
    for_all = min(sum(needed), room * 2 // 3)
    kept, with_durations = _Share(needed, for_all), _Share(more, room - for_all)
    left_out = 0
    others: dict[int, Tally] = {}
    for count, number in enumerate(list(pending)):
        packed = pending[number]
        busy, size = requests_of(packed)[0].bit_length(), bare_size(packed)
        if not kept.takes(busy, size + ENTRY_BYTES):
            left_out += 1
            others.setdefault(other(number), Tally()).add(bare(packed))
            del pending[number]
        elif not with_durations.takes(busy, len(packed) - size):
            left_out += 1
            pending[number] = bare(packed)
        if count % _AT_ONCE == 0:
            yield
    for number, tally in others.items():
        pending[number] = summed([pending[number], tally.pack()]) if number in pending else tally.pack()
    return left_out


class _Share:
    """Which subjects get something of what there is: all that are busier than a class, and some of that class."""

    __slots__ = ("_above", "_left")

    def __init__(self, needs: Sequence[int], room: int) -> None:
        self._above = _CLASSES
        while self._above > 0 and needs[self._above - 1] <= room:
            self._above -= 1
            room -= needs[self._above]
        self._left = room

    def takes(self, busy: int, need: int) -> bool:
        """Whether a subject of this class gets so many bytes."""
        if busy >= self._above:
            return True
        if busy == self._above - 1 and need <= self._left:
            self._left -= need
            return True
        return False


def _ascending(pending: Pending) -> Steps[Iterator[int]]:
    """The numbers in order: sorting tens of thousands at once would take too long."""
    every = list(pending)
    runs = []
    for begin in range(0, len(every), _SORTED_AT_ONCE):
        runs.append(sorted(every[begin : begin + _SORTED_AT_ONCE]))
        yield
    return merge(*runs)


# As bytes, for files and for other gateways.


def written(piece: Slice, subject: Callable[[int], Subject | None]) -> Steps[bytes]:
    """All of it. A subject that is not known any more is left out."""
    body, count = bytearray(), 0
    for number, packed in piece:
        found = subject(number)
        if found is not None:
            name = found.name.encode("utf-8", "replace")[:_LONGEST_NAME]
            body += _NAME.pack(KINDS.index(found.kind), len(name), len(packed)) + name + packed
            count += 1
            if count % _AT_ONCE == 0:
                yield
    return _HEAD.pack(_MAGIC, _ORDER, piece.start, piece.seconds, count, piece.left_out) + bytes(body)


class Written:
    """Parses the bytes that `written` makes."""

    __slots__ = ("_count", "_data", "left_out", "seconds", "start")

    def __init__(self, data: bytes) -> None:
        """Raises ValueError where it is none, or one of a machine with another byte order."""
        if len(data) < _HEAD.size or data[:3] != _MAGIC + _ORDER:
            raise ValueError("this is no slice, or one of another version or another kind of machine")
        _, _, self.start, self.seconds, self._count, self.left_out = _HEAD.unpack_from(data)
        if not 0 <= self.seconds < 1e6 or not 0 <= self.start < 2**40:
            raise ValueError("a slice is of no time that can be")
        self._data = data

    def read(self) -> Iterator[tuple[Subject, bytes]]:
        """Each subject, and its packed tally, checked. Raises ValueError."""
        data, at = self._data, _HEAD.size
        for _ in range(self._count):
            if at + _NAME.size > len(data):
                raise ValueError("a slice is cut off")
            kind, length, size = _NAME.unpack_from(data, at)
            at += _NAME.size
            name, packed = data[at : at + length], data[at + length : at + length + size]
            at += length + size
            if kind >= len(KINDS) or at > len(data):
                raise ValueError("a slice is cut off, or has a subject of an unknown kind")
            check(packed)
            yield Subject(KINDS[kind], name.decode("utf-8", "replace")), packed


class Subjects:
    """A number for each subject, for as long as there is something of it; bounded in bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._numbers: dict[Kind, dict[str, int]] = {kind: {} for kind in KINDS}
        self._subjects: dict[int, Subject] = {}
        self._next = 1
        self._most_bytes = most_bytes
        self._bytes = 0
        self.overflow = 0  # how many were counted as `_other` since the last look, because there is no room for more

    def number(self, kind: Kind, name: str) -> int:
        """The number of a subject; if there are too many, that of `_other` of its kind."""
        number = self._numbers[kind].get(name)
        if number is not None:
            return number
        size = _SUBJECT_BYTES + sys.getsizeof(name)
        if self._bytes + size > self._most_bytes and name not in (OTHER, ""):
            self.overflow += 1
            return self.number(kind, OTHER)
        number = self._numbers[kind][name] = self._next
        self._subjects[number] = Subject(kind, name)
        self._next += 1
        self._bytes += size
        return number

    def find(self, subject: Subject) -> int | None:
        """The number of a known subject."""
        return self._numbers[subject.kind].get(subject.name)

    def subject(self, number: int) -> Subject | None:
        """The one with this number."""
        return self._subjects.get(number)

    def other(self, number: int) -> int:
        """The one as which this is counted where there is no room for it."""
        subject = self._subjects.get(number)
        return self.number("all", "") if subject is None else self.number(subject.kind, OTHER)

    def of_kind(self, kind: Kind) -> list[tuple[str, int]]:
        """The names and numbers of all of a kind."""
        return list(self._numbers[kind].items())

    def forget_all_but(self, numbers: set[int]) -> Steps[None]:
        """Drop the numbers of all others."""
        for count, number in enumerate(list(self._subjects)):
            if number not in numbers:
                subject = self._subjects.pop(number)
                del self._numbers[subject.kind][subject.name]
                self._bytes -= _SUBJECT_BYTES + sys.getsizeof(subject.name)
            if count % _AT_ONCE == 0:
                yield


_SUBJECT_BYTES: Final = 220  # in both tables, with what the objects take, beside the name
