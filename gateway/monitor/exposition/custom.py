"""Metrics of custom policies in prometheus_client's own registry, as families.

The library is not imported for that: where no policy has, there is nothing to report.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gateway.families import Buckets, Family, Kind, Labels, Sample

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.samples import Sample as Foreign

_KINDS: Final[dict[str, Kind]] = {
    "counter": "counter",
    "gauge": "gauge",
    "info": "info",
    "stateset": "gauge",
    "histogram": "histogram",
    "summary": "summary",
}
_ENDS: Final = {"counter": "_total", "info": "_info"}
_POINTS: Final = {"histogram": "le", "summary": "quantile"}


def custom_families() -> Iterator[Family]:
    """All of them, as of now. Raises what a collector raises, which is code of others."""
    library = sys.modules.get("prometheus_client")
    if library is not None:
        yield from map(_family, library.REGISTRY.collect())


def _family(metric: Metric) -> Family:
    kind = _KINDS.get(metric.type, "unknown")
    name = metric.name + _ENDS.get(kind, "")
    samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
    point = _POINTS.get(kind, "")
    names = tuple(dict.fromkeys(label for sample in samples for label in sample.labels if label != point))
    if point:
        made = _distributions(samples, names, point)
    else:
        made = (
            Sample(_values(sample, names), sample.value)
            for sample in samples
            if sample.name == name or kind == "unknown"
        )
    return Family(name, kind, metric.documentation, names, list(made))


def _distributions(samples: list[Foreign], names: Labels, point: str) -> Iterator[Sample]:
    """The lines of each histogram or summary as one."""
    together: dict[Labels, Buckets] = {}
    for sample in samples:
        value = together.setdefault(_values(sample, names), Buckets())
        if point in sample.labels:
            value.points.append((float(sample.labels[point]), sample.value))
        elif sample.name.endswith("_sum"):
            value.total = sample.value
        elif sample.name.endswith("_count"):
            value.count = sample.value
    for labels, value in together.items():
        value.points.sort()
        yield Sample(labels, value)


def _values(sample: Foreign, names: Labels) -> Labels:
    return tuple(sample.labels.get(name, "") for name in names)
