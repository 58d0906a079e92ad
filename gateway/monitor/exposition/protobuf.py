"""The page as protocol buffers: `io.prometheus.client.MetricFamily`, each with its length in front.

Written by hand, since it is a dozen of fields. It is the only form that has native histograms: the counts of a sketch
as they are, of a resolution that no list of bounds has. The bounds are there as well, for those who ask for them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from gateway.algorithms.percentiles import SCALE, SMALLEST, Sketch
from gateway.families import Buckets, Distribution, Exemplar, Family, Labels, Sample
from gateway.monitor.exposition.form import unicode
from gateway.monitor.exposition.text import exemplars_by_bound, points_of

_TYPES: Final = {"counter": 0, "gauge": 1, "info": 1, "summary": 2, "unknown": 3, "histogram": 4}
_FIELDS: Final = {"gauge": 2, "info": 2, "counter": 3, "summary": 4, "unknown": 5, "histogram": 7}  # of a Metric
_GAP: Final = 2  # empty buckets that are cheaper to write than another span
_DOUBLE: Final = struct.Struct("<d")


class Protobuf:
    """Writes the page as messages."""

    def __init__(self) -> None:
        self.end = b""

    def labels(self, names: Labels, values: Labels) -> bytes:
        """The fields of a Metric that are its labels."""
        return b"".join(_pair(name, value) for name, value in zip(names, values, strict=True) if value)

    def head(self, family: Family, size: int) -> bytes:
        """The length of the message, and what it has beside its metrics."""
        fields = _text(1, family.name) + _text(2, family.help) + _number(3, _TYPES[family.kind])
        if family.unit:
            fields += _text(5, family.unit)
        return _varint(len(fields) + size) + fields

    def sample(self, family: Family, labels: str | bytes, sample: Sample) -> bytes:
        """A Metric, as the field of its family."""
        assert isinstance(labels, bytes)
        value = sample.value
        if isinstance(value, int | float):
            content = _real(1, value)
        elif family.kind == "summary":
            points = value.points if isinstance(value, Buckets) else ()
            quantiles = b"".join(_message(3, _real(1, quantile) + _real(2, at)) for quantile, at in points)
            content = _number(1, int(value.count)) + _real(2, value.total) + quantiles
        else:
            content = b"".join(_histogram(family, sample, value))
        return _message(4, labels + _message(_FIELDS[family.kind], content))


def _histogram(family: Family, sample: Sample, value: Distribution) -> Iterator[bytes]:
    yield _number(1, int(value.count)) + _real(2, value.total)
    points = points_of(family, sample)
    exemplars = exemplars_by_bound(points, sample.exemplars)
    for bound, at_most in points:
        bucket = _number(1, int(at_most)) + _real(2, bound)
        if bound in exemplars:
            bucket += _message(3, _exemplar(exemplars[bound]))
        yield _message(3, bucket)
    if not isinstance(value, Buckets):
        yield from _native(value, sample.exemplars)


def _native(value: Distribution, exemplars: Iterable[Exemplar]) -> Iterator[bytes]:
    """The same in buckets that grow by a constant factor, without those that are empty."""
    assert not isinstance(value, Buckets)
    is_sketch = isinstance(value, Sketch)
    yield _number(5, _zigzag(SCALE if is_sketch else 0)) + _real(6, SMALLEST if is_sketch else 0.5)
    yield _number(7, value.zeros)
    deltas, former = bytearray(), 0
    for offset, counts in _spans(value.filled()):
        yield _message(12, _number(1, _zigzag(offset)) + _number(2, len(counts)))
        for count in counts:
            delta, former = _zigzag(count - former), count
            if delta < 0x80:  # as most often
                deltas.append(delta)
            else:
                deltas += _varint(delta)
    yield _message(13, bytes(deltas))
    for exemplar in exemplars:
        yield _message(16, _exemplar(exemplar))


def _spans(filled: Iterable[tuple[int, int]]) -> Iterator[tuple[int, list[int]]]:
    """Buckets without a long gap between them: how far it is from the last ones, or from 0, and their counts."""
    counts: list[int] = []
    offset = following = 0
    for index, count in filled:
        gap = index - following
        if counts and gap > _GAP:
            yield offset, counts
            counts, offset = [], gap
        elif not counts:
            offset = gap
        else:
            counts += [0] * gap
        counts.append(count)
        following = index + 1
    if counts:
        yield offset, counts


def _exemplar(exemplar: Exemplar) -> bytes:
    seconds = int(exemplar.at)
    at = _number(1, seconds) + _number(2, int((exemplar.at - seconds) * 1e9))
    labels = _pair("trace_id", exemplar.trace_id) + (_pair("span_id", exemplar.span_id) if exemplar.span_id else b"")
    return labels + _real(2, exemplar.value) + _message(3, at)


def _pair(name: str, value: str) -> bytes:
    return _message(1, _text(1, name) + _text(2, value))


# The wire format: a tag of field number and type, and what it says.


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _zigzag(number: int) -> int:
    return number * 2 if number >= 0 else -number * 2 - 1


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _real(field: int, number: float) -> bytes:
    return _varint(field << 3 | 1) + _DOUBLE.pack(number)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, unicode(text).encode())
