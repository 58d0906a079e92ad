"""Request results of some time: number, failures and durations; as a value, and packed.

A packed tally is a few bytes, because tens of thousands of them are kept for every ten seconds: how wide its numbers
are, the requests and errors, the indexes of the buckets of `Sketch` that are not empty, and their counts.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from struct import Struct
from typing import Final, Literal, NamedTuple

from gateway.algorithms.percentiles import HIGHEST, LOWEST, Sketch, middle

Kind = Literal["all", "route", "upstream", "endpoint", "tenant"]
KINDS: Final[tuple[Kind, ...]] = ("all", "route", "upstream", "endpoint", "tenant")
QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)

NOTHING: Final = LOWEST - 1  # the index of durations that count as nothing
_WIDTHS: Final = "BHIQ"  # as `array` and `struct` name them
_HEADS: Final = tuple(Struct(f"=B2{width}") for width in _WIDTHS)
_BYTES: Final = tuple(array(width).itemsize for width in _WIDTHS)
_INDEX_BYTES: Final = array("h").itemsize


class Subject(NamedTuple):
    """The subject of a measurement: a route, say. The name of an endpoint is that of its service, a slash, and its
    address."""

    kind: Kind
    name: str


ALL: Final = Subject("all", "")


@dataclass(frozen=True, slots=True)
class Figures:
    """Request results in a window. Percentiles in seconds; None if no duration is known."""

    seconds: float  # of the window, as far as it was watched
    requests: int
    errors: int
    throughput: float  # requests per second
    error_rate: float  # of [0, 1]; 0 where there were no requests
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None


class Tally:
    """Requests, errors, and durations by the index of their bucket (see `Sketch`)."""

    __slots__ = ("buckets", "errors", "requests")

    def __init__(self, requests: int = 0, errors: int = 0, buckets: dict[int, int] | None = None) -> None:
        self.requests = requests
        self.errors = errors
        self.buckets: dict[int, int] = {} if buckets is None else buckets

    def add(self, packed: bytes) -> None:
        """Count what was packed, too."""
        mode, requests, errors = _HEADS[packed[0] & 3].unpack_from(packed)
        self.requests += requests
        self.errors += errors
        begin = _HEADS[mode & 3].size
        if len(packed) > begin:
            buckets = self.buckets
            for index, count in _buckets(packed, begin, mode >> 2):
                buckets[index] = buckets.get(index, 0) + count

    def take(self, other: Tally) -> None:
        """Count what another one has counted, too."""
        self.requests += other.requests
        self.errors += other.errors
        for index, count in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + count

    def pack(self) -> bytes:
        """All of it, in a few bytes."""
        return pack(self.requests, self.errors, self.buckets)

    def figures(self, seconds: float) -> Figures:
        """The figures of a window of so many seconds."""
        return Figures(
            seconds,
            self.requests,
            self.errors,
            self.requests / seconds if seconds > 0 else 0.0,
            self.errors / self.requests if self.requests else 0.0,
            *quantiles(self.buckets, QUANTILES),
        )


def quantiles(buckets: dict[int, int], wanted: Sequence[float]) -> list[float | None]:
    """The values of rank q * (count - 1) for each q, which ascend; within 1.1%, as those of `Sketch`."""
    if not buckets:
        return [None] * len(wanted)
    found: list[float | None] = []
    ascending = sorted(buckets)
    last = sum(buckets.values()) - 1
    at, seen = 0, buckets[ascending[0]]
    for q in wanted:
        while seen <= q * last:
            at += 1
            seen += buckets[ascending[at]]
        found.append(0.0 if ascending[at] == NOTHING else middle(ascending[at]))
    return found


def durations_of(sketch: Sketch) -> dict[int, int]:
    """The counts of a sketch, by index."""
    counts = sketch.counts
    buckets = dict(compress(zip(range(sketch.first, sketch.first + len(counts)), counts, strict=True), counts))
    if sketch.zeros:
        buckets[NOTHING] = sketch.zeros
    return buckets


def pack(requests: int, errors: int, buckets: dict[int, int]) -> bytes:
    """A tally in a few bytes."""
    width, largest = _width(max(requests, errors)), _width(max(buckets.values(), default=0))
    head = _HEADS[width].pack(width | largest << 2, requests, errors)
    if not buckets:
        return head
    return head + array("h", buckets).tobytes() + array(_WIDTHS[largest], buckets.values()).tobytes()


def requests_of(packed: bytes) -> tuple[int, int]:
    """The requests and the errors of a packed tally."""
    _, requests, errors = _HEADS[packed[0] & 3].unpack_from(packed)
    return requests, errors


def bare(packed: bytes) -> bytes:
    """A packed tally without its durations."""
    return packed[: _HEADS[packed[0] & 3].size]


def bare_size(packed: bytes) -> int:
    """How many bytes that takes."""
    return _HEADS[packed[0] & 3].size


def check(packed: bytes) -> None:
    """Raises ValueError for what `pack` does not make: it came from elsewhere."""
    if not packed or packed[0] >= 16 or len(packed) < bare_size(packed):
        raise ValueError("a tally is cut off")
    begin = bare_size(packed)
    if (len(packed) - begin) % (_INDEX_BYTES + _BYTES[packed[0] >> 2]):
        raise ValueError("a tally has an index without a count")
    requests, errors = requests_of(packed)
    buckets = _buckets(packed, begin, packed[0] >> 2)
    if (
        errors > requests
        or requests >= 2**63
        or not all(NOTHING <= each <= HIGHEST and n < 2**63 for each, n in buckets)
    ):
        raise ValueError("a tally has numbers that are out of range")


def _buckets(packed: bytes, begin: int, width: int) -> Iterable[tuple[int, int]]:
    number = (len(packed) - begin) // (_INDEX_BYTES + _BYTES[width])
    indexes, counts = array("h"), array(_WIDTHS[width])
    between = begin + number * _INDEX_BYTES
    indexes.frombytes(packed[begin:between])
    counts.frombytes(packed[between:])
    return zip(indexes, counts, strict=True)


def _width(number: int) -> int:
    return 0 if number < 2**8 else 1 if number < 2**16 else 2 if number < 2**32 else 3


BYTE_ORDER: Final = sys.byteorder
"""The byte order of packed tallies, which are only for machines with the same one."""
