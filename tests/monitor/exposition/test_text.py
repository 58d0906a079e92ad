"""The page as text, read by Prometheus's own Python readers."""

from __future__ import annotations

import math

import pytest

from gateway.algorithms.percentiles import Sketch
from gateway.families import SECONDS
from tests.monitor.exposition.samples import HARD, TRACE, exposition, families, read


@pytest.mark.parametrize("openmetrics", [False, True])
def test_both_readers_understand_it(openmetrics: bool) -> None:
    """Whatever labels hold, the readers of both formats find each sample with its labels and value."""
    page = exposition().now("openmetrics" if openmetrics else "text")
    found = read(page, openmetrics=openmetrics)
    for value in HARD:
        written = "\\udcff" if value == "\udcff" else value
        assert found["a_requests_total", (("m", "GET"), ("of", written))].value == 3
    assert math.isnan(found["b_seconds", ()].value)
    assert found["c_bytes", (("of", "+"),)].value == math.inf
    assert found["d_build_info", (("version", "1"),)].value == 1
    assert found["f_body_bytes_bucket", (("le", "256.0"),)].value == 3
    assert found["f_body_bytes_bucket", (("le", "+Inf"),)].value == 5
    assert found["f_body_bytes_sum", ()].value == 10**9 + 514


def test_each_series_has_the_same_bounds() -> None:
    """Histograms of all routes can be added up: those of OpenTelemetry, then 30 s to 5 minutes, with traffic or not."""
    found = read(exposition().now("text"))
    bounds = [*map(str, SECONDS), "+Inf"]
    for series in ("x", "y"):
        assert all(("e_duration_seconds_bucket", (("le", bound), ("r", series))) in found for bound in bounds)
    assert [*SECONDS][-5:] == [10.0, 30.0, 60.0, 120.0, 300.0]
    counted = families()[4].samples
    sketch = next(iter(counted)).value  # type: ignore[union-attr]
    assert isinstance(sketch, Sketch)
    values = [found["e_duration_seconds_bucket", (("le", bound), ("r", "x"))].value for bound in bounds]
    assert values == sorted(values)
    assert values[-1] == sketch.count == found["e_duration_seconds_count", (("r", "x"),)].value


def test_exemplars() -> None:
    """In OpenMetrics a bucket names a request of which there is a trace; the older format has no place for it."""
    page = exposition()
    found = read(page.now("openmetrics"), openmetrics=True)
    exemplar = found["e_duration_seconds_bucket", (("le", "0.5"), ("r", "x"))].exemplar
    assert exemplar is not None
    assert exemplar.labels == {"trace_id": TRACE, "span_id": "00f067aa0ba902b7"}
    assert (exemplar.value, float(exemplar.timestamp or 0)) == (0.3, 1700000000.25)
    beyond = found["e_duration_seconds_bucket", (("le", "+Inf"), ("r", "x"))].exemplar
    assert beyond is not None
    assert beyond.labels == {"trace_id": TRACE}
    assert b"trace_id" not in page.now("text")


def test_what_openmetrics_demands() -> None:
    """Units, the end of the page, and families without the ends of their samples' names."""
    lines = exposition().now("openmetrics").decode().splitlines()
    assert lines[-1] == "# EOF"
    assert "# TYPE a_requests counter" in lines
    assert "# UNIT e_duration_seconds seconds" in lines
    assert "# TYPE d_build info" in lines
