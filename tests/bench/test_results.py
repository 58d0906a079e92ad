"""What the benchmark makes of its values."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import pages, results, verdict
from bench.charts import chart
from bench.report import table
from bench.results import Line, Result, Run, ratio

BARE = Result(
    "bare",
    "Bare",
    "us",
    [
        Line("nginx", [12.0, 10.0, 11.0], 300),
        Line("Envoy", [40.0, 44.0, 42.0], 100),
        Line("Caddy", [80.0], 10, spoiled="one request | failed"),
        Line("gateway", [22.0, 21.0, 29.0], 200),
        Line("gateway, interpreted", [41.0, 43.0, 48.0], 200),
    ],
)
LATENCY = Result(
    "latency-p99",
    "Latency",
    "us",
    [Line("no proxy", [100.0]), Line("Envoy", [300.0]), Line("gateway", [200.0])],
)


def run(*found: Result, gateway: str = "gateway 0.1.0, compiled, CPython") -> Run:
    return Run("2026-01-02", 60.0, {"load": "0.1"}, {"nginx": "1.22.1", "gateway": gateway}, list(found))


def judged(of: Run) -> dict[str, verdict.Judged]:
    return {one.aim.name: one for one in verdict.judged(of)}


def test_ratios_are_those_of_minima() -> None:
    """Disturbance only adds, so the least disturbed rounds are compared."""
    assert ratio(run(BARE), ("bare", "gateway"), ("bare", "nginx")) == pytest.approx(2.1)


def test_a_spoiled_line_is_compared_with_nothing() -> None:
    """A contender with a failed request has no ratio, and the table says what failed."""
    assert ratio(run(BARE), ("bare", "gateway"), ("bare", "Caddy")) is None
    assert "one request | failed" in table(BARE)


def test_an_aim_is_met_or_not_or_not_measured() -> None:
    """Each aim says which, by its limit."""
    found = judged(run(BARE, LATENCY))
    assert found["bare, to nginx"].word == "met"
    assert found["interpreted: bare, to Envoy"].word == "NOT met"
    assert found["chain, to Envoy"].word == "not measured"
    assert found["p99 added at 15,000 requests/s, to Envoy"].measured == pytest.approx(0.5)


def test_a_queue_is_no_latency() -> None:
    """Where a proxy could not follow the rate, its latency is not judged."""
    queued = Result(
        "latency-p99", "Latency", "us", [Line("no proxy", [100.0]), Line("Envoy", [300.0]), Line("gateway", [2e6])]
    )
    assert judged(run(queued))["p99 added at 15,000 requests/s, to Envoy"].word == "not measured"


def test_an_interpreted_gateway_does_not_pass_for_a_compiled_one() -> None:
    """Without a compiled gateway, what is aimed at with it is not judged, and the rest is."""
    interpreted = Run("2026-01-02", 60.0, {}, {"gateway, interpreted": "gateway 0.1.0, interpreted"}, [BARE])
    found = judged(interpreted)
    assert "bare, to nginx" not in found
    assert found["interpreted: bare, to Envoy"].measured == pytest.approx(41 / 40)
    assert "other aims are meant for the compiled gateway, which was not there (make profiled)" in verdict.text(
        interpreted
    )


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """The page can be written again from the file of a run."""
    file = tmp_path / "build" / "results.json"
    results.write(run(BARE, LATENCY), file)
    assert results.read(file) == run(BARE, LATENCY)


def test_the_page_says_losses_as_plainly_as_gains() -> None:
    """Both have a table, and a contender that failed is named with its failure."""
    text = pages.page(run(BARE))
    losses, _, wins = text.partition("#### Where it wins")
    assert "| Bare | nginx 2.10x |" in losses
    assert "| Bare | Envoy 0.53x |" in wins
    assert "| Caddy | spoiled: one request / failed |" in text


def test_the_page_says_who_is_saturated() -> None:
    """A latency of many milliseconds is that of a queue; without one, nothing is said."""
    lines = [Line("Envoy", [300.0]), Line("Caddy", [46_000.0, 90_000.0]), Line("gateway", [200.0])]
    title = "Latency at 15,000 requests per second"
    text = pages.page(run(Result("latency-p50", f"{title}, p50", "us", lines)))
    assert f"\n{title}: Caddy is saturated there; " in text
    assert "saturated" not in pages.page(run(Result("latency-p50", title, "us", [lines[0], lines[2]])))


def test_charts_are_pictures_of_what_counts() -> None:
    """A chart is well-formed, has a bar for each line that counts, and none for others."""
    names = [text.text for text in ElementTree.fromstring(chart(BARE)).iter("{http://www.w3.org/2000/svg}text")]
    assert "gateway" in names
    assert "Caddy" not in names


def test_a_bar_that_would_hide_the_others_is_cut() -> None:
    """A contender that is far behind leaves room for the bars of the others, and its bar says that it is cut."""
    slow = Line("slow", [10_000.0])
    picture = chart(Result("bare", "Bare", "us", [*BARE.lines, slow]))
    assert "10,000 (bar is cut)" in picture
    assert picture.count("cut") == 1


def test_a_run_without_results_has_a_page() -> None:
    """Where all failed, the page still says so."""
    nothing = run(Result("bare", "Bare", "us", [Line("nginx", spoiled="not started")]))
    assert "spoiled: not started" in pages.page(nothing)
    assert pages.charts(nothing) == {}


def test_the_page_is_that_of_its_results() -> None:
    """docs/benchmarks.md is what `make bench-page` writes, of the results beside it."""
    found = results.read(pages.DATA) if pages.DATA.is_file() else None
    assert pages.PAGE.read_text() == pages.page(found)
