"""The page as text: Prometheus's format 0.0.4, and OpenMetrics 1.0 with exemplars."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from gateway.families import Buckets, Exemplar, Family, Labels, Sample
from gateway.monitor.exposition.form import unicode

_KINDS: Final = {"info": "gauge", "unknown": "untyped"}  # that the older format does not know
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Text:
    """Writes the page as lines."""

    def __init__(self, *, openmetrics: bool) -> None:
        self.end = b"# EOF\n" if openmetrics else b""
        self._openmetrics = openmetrics

    def labels(self, names: Labels, values: Labels) -> str:
        """`name="value",...`"""
        return ",".join(
            f'{name}="{unicode(value).translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True)
        )

    def head(self, family: Family, size: int) -> bytes:
        """The comments by which a family begins."""
        if not self._openmetrics:
            help, kind = unicode(family.help).translate(_HELP_ESCAPES), _KINDS.get(family.kind, family.kind)
            return f"# HELP {family.name} {help}\n# TYPE {family.name} {kind}\n".encode()
        # OpenMetrics has the ends of names in samples only.
        end = {"counter": "_total", "info": "_info"}.get(family.kind, "")
        name, help = family.name.removesuffix(end), unicode(family.help).translate(_ESCAPES)
        unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
        return f"# TYPE {name} {family.kind}\n{unit}# HELP {name} {help}\n".encode()

    def sample(self, family: Family, labels: str | bytes, sample: Sample) -> bytes:
        """A line; of a histogram one for each bound, too."""
        assert isinstance(labels, str)
        value = sample.value
        if isinstance(value, int | float):
            within = f"{{{labels}}}" if labels else ""
            return f"{family.name}{within} {number(value)}\n".encode()
        within, before = (f"{{{labels}}}", labels + ",") if labels else ("", "")
        points = "".join(self._points(family, before, sample))
        sum_and_count = f"{family.name}_sum{within} {number(value.total)}\n{family.name}_count{within} "
        return f"{points}{sum_and_count}{number(value.count)}\n".encode()

    def _points(self, family: Family, before: str, sample: Sample) -> Iterator[str]:
        """The lines of a histogram's bounds, and of a summary's quantiles."""
        value = sample.value
        assert not isinstance(value, int | float)
        if isinstance(value, Buckets) and family.kind == "summary":
            for quantile, at in value.points:
                yield f'{family.name}{{{before}quantile="{number(quantile)}"}} {number(at)}\n'
            return
        points = points_of(family, sample)
        shown = exemplars_by_bound(points, sample.exemplars) if self._openmetrics else {}
        start = f'{family.name}_bucket{{{before}le="'
        for bound, at_most in points:
            exemplar = shown.get(bound)
            yield f'{start}{number(bound)}"}} {number(at_most)}{_shown(exemplar) if exemplar else ""}\n'


def points_of(family: Family, sample: Sample) -> list[tuple[float, float]]:
    """Each bound of a histogram, infinity included, and how many are within."""
    value = sample.value
    assert not isinstance(value, int | float)
    if isinstance(value, Buckets):
        return list(value.points)
    return list(zip((*family.bounds, float("inf")), value.cumulative(family.bounds), strict=True))


def exemplars_by_bound(points: Sequence[tuple[float, float]], exemplars: Sequence[Exemplar]) -> dict[float, Exemplar]:
    """The last exemplar of each bucket: of what is above the bound before."""
    found: dict[float, Exemplar] = {}
    bounds = [float("-inf"), *(bound for bound, _ in points)]
    for exemplar in exemplars:
        for below, bound in pairwise(bounds):
            if below < exemplar.value <= bound and (bound not in found or found[bound].at < exemplar.at):
                found[bound] = exemplar
    return found


def number(value: float) -> str:
    """A number in Prometheus' format: always with a point, or an exponent."""
    if isinstance(value, int):
        return f"{int(value)}.0"
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _shown(exemplar: Exemplar) -> str:
    span = f',span_id="{exemplar.span_id}"' if exemplar.span_id else ""
    return f' # {{trace_id="{exemplar.trace_id}"{span}}} {number(exemplar.value)} {exemplar.at:.3f}'
