"""Readings of metrics as metrics of OpenTelemetry's SDK. Imported on the thread that sends them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice, pairwise
from typing import Any, Final

from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics.export import AggregationTemporality as Temporality
from opentelemetry.sdk.metrics.export import Buckets as SdkBuckets
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from gateway.algorithms.percentiles import SCALE, Sketch
from gateway.families import Buckets, Distribution, Family, Sample
from gateway.monitor.exposition.form import unicode
from gateway.monitor.telemetry.exporters import SCOPE, Exporting
from gateway.monitor.telemetry.metric_names import NAMES, UP_AND_DOWN, attribute_of, name_of, unit_of
from gateway.monitor.telemetry.pipeline import Verdict
from gateway.monitor.telemetry.reading import Reading
from gateway.monitor.telemetry.settings import Destination, Form
from gateway.monitor.telemetry.since import DIFFERENT, Since

TOGETHER: Final = 200  # points that are made and sent together: while they are, no request is served


Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint
Whose = tuple[dict[str, str], int, int]
"""Attributes, and the time of which a point is, in nanoseconds."""

_MOST: Final = 2**63
_UNKNOWN: Final[Any] = None  # the least and the most, which are then not sent


class ReadingSender:
    """Sends readings as metrics. A Sender, for one thread."""

    def __init__(self, destination: Destination, form: Form) -> None:
        self._exporting = Exporting(destination)
        self._resource = self._exporting.resource()
        self._form = form
        self._began = time.time()
        self._since = Since(self._began)
        self._temporality = Temporality.DELTA if form.differences else Temporality.CUMULATIVE

    def send(self, records: Sequence[Reading]) -> Verdict:
        """See `Sender`. Each reading counts as one record."""
        lost, why = 0, ""
        for reading in records:
            verdict = self._send(reading)
            lost, why = lost + verdict.lost, verdict.why or why
        return Verdict(lost, why)

    def close(self) -> None:
        """See `Sender`."""
        self._exporting.close()

    def _send(self, reading: Reading) -> Verdict:
        points = self._points(reading)
        while together := list(islice(points, TOGETHER)):
            # Those of one family as one metric.
            metrics = []
            for _, group in groupby(together, lambda pair: pair[0].name):
                (family, first), *others = group
                data = self._data(family, [first, *(point for _, point in others)])
                metrics.append(Metric(name_of(family), unicode(family.help), unit_of(family), data))
            scope = ScopeMetrics(SCOPE, metrics, "")
            verdict = self._exporting.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]), 1)
            if verdict.why:
                return verdict._replace(lost=1)
        self._since.done(reading.at)
        return Verdict()

    def _data(self, family: Family, points: list[Any]) -> Sum | Gauge | Histogram | ExponentialHistogram:
        match points[0]:
            case HistogramDataPoint():
                return Histogram(points, self._temporality)
            case ExponentialHistogramDataPoint():
                return ExponentialHistogram(points, self._temporality)
        if family.kind == "counter":
            return Sum(points, self._temporality, True)
        return Sum(points, Temporality.CUMULATIVE, False) if family.name in UP_AND_DOWN else Gauge(points)

    def _points(self, reading: Reading) -> Iterator[tuple[Family, Point]]:
        """Each value; summaries are left out, since the SDK has none."""
        now = int(reading.at * 1e9)
        for family in reading.families:
            for sample in family.samples if family.kind != "summary" else ():
                if sample is not None:
                    yield family, self._point(family, sample, now, reading.paths)

    def _point(self, family: Family, sample: Sample, now: int, paths: Mapping[str, str]) -> Point:
        pairs = zip(family.labels, sample.labels, strict=True)
        attributes = {attribute_of(family, label): unicode(value) for label, value in pairs if value}
        if family.name in NAMES and family.labels[:1] == ("route_id",) and sample.labels[0] in paths:
            attributes["http.route"] = unicode(paths[sample.labels[0]])
        began, value = self._began, sample.value
        if self._form.differences and family.kind in DIFFERENT:
            began, value = self._since.began, self._since.value(family, sample.labels, value)
        whose = attributes, int(began * 1e9), now
        if isinstance(value, int | float):
            return NumberDataPoint(
                *whose, int(value) if isinstance(value, int) and abs(value) < _MOST else float(value)
            )
        exemplars = [
            SdkExemplar({}, each.value, int(each.at * 1e9), int(each.span_id or "0", 16), int(each.trace_id, 16))
            for each in sample.exemplars
        ]
        if self._form.exponential and isinstance(value, Sketch):
            return _exponential(value, whose, exemplars)
        bounds, counts = _buckets(family, value)
        return HistogramDataPoint(*whose, int(value.count), value.total, counts, bounds, _UNKNOWN, _UNKNOWN, exemplars)


def _exponential(sketch: Sketch, whose: Whose, exemplars: list[SdkExemplar]) -> ExponentialHistogramDataPoint:
    """A sketch as it is; OpenTelemetry numbers buckets by the bound below them."""
    filled = list(sketch.filled())
    first = filled[0][0] if filled else 0
    counts = [0] * (filled[-1][0] - first + 1 if filled else 0)
    for index, count in filled:
        counts[index - first] = count
    return ExponentialHistogramDataPoint(
        *whose,
        count=sketch.count,
        sum=sketch.total,
        scale=SCALE,
        zero_count=sketch.zeros,
        positive=SdkBuckets(first - 1, counts),
        negative=SdkBuckets(0, []),
        flags=0,
        min=_UNKNOWN,
        max=_UNKNOWN,
        exemplars=exemplars,
    )


def _buckets(family: Family, value: Distribution) -> tuple[list[float], list[int]]:
    """Bounds, and how many are between two of them, one more than there are bounds."""
    if isinstance(value, Buckets):
        finite = [(bound, int(count)) for bound, count in value.points if bound != float("inf")]
        bounds, at_most = [bound for bound, _ in finite], [count for _, count in finite]
        at_most.append(int(value.count))
    else:
        bounds, at_most = list(family.bounds), value.cumulative(family.bounds)
    return bounds, [after - before for before, after in pairwise([0, *at_most])]
