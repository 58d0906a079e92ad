"""Families of every kind, with labels that are hard to write, and the readers that check what was written."""

from __future__ import annotations

import random
from io import StringIO

from prometheus_client.openmetrics.parser import text_fd_to_metric_families as read_openmetrics
from prometheus_client.parser import text_fd_to_metric_families as read_text
from prometheus_client.samples import Sample as Read

from gateway.algorithms.percentiles import Sketch
from gateway.algorithms.sizes import Sizes
from gateway.families import BYTES, Exemplar, Family, Sample, counter, gauge
from gateway.monitor.exposition.page import Exposition

HARD = ['a "quoted" one', "two\nlines", "back\\slash\\n", "", "ünï", "\udcff", "a,b={c}", "x\r y\t\x00"]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def durations(*seconds: float) -> Sketch:
    made = Sketch()
    for each in seconds:
        made.add(each)
    return made


def sizes(*values: int) -> Sizes:
    made = Sizes()
    for each in values:
        made.add(each)
    return made


def families() -> list[Family]:
    draw = random.Random(1)
    many = durations(*(draw.lognormvariate(-4, 2) for _ in range(1000)), 0.0)
    exemplars = (Exemplar(TRACE, "00f067aa0ba902b7", 0.3, 1700000000.25), Exemplar(TRACE, "", 400.0, 1700000001.0))
    return [
        counter(
            "a_requests_total", 'Help with "quotes",\nlines and \\.', {(each, "GET"): 3 for each in HARD}, ("of", "m")
        ),
        gauge("b_seconds", "", {(): float("nan")}),
        gauge("c_bytes", "", {("+",): float("inf"), ("-",): -1e-300}, ("of",)),
        Family("d_build_info", "info", "", ("version",), [Sample(("1",), 1)]),
        Family(
            "e_duration_seconds", "histogram", "", ("r",), [Sample(("x",), many, exemplars), Sample(("y",), Sketch())]
        ),
        Family("f_body_bytes", "histogram", "", (), [Sample((), sizes(0, 1, 256, 257, 10**9))], bounds=BYTES),
        gauge("g_none", "", {}, ("of",)),
    ]


def exposition(*made: Family) -> Exposition:
    page = Exposition()
    page.add_source(lambda: made or families())
    return page


def read(page: bytes, *, openmetrics: bool = False) -> dict[tuple[str, tuple[tuple[str, str], ...]], Read]:
    reader = read_openmetrics if openmetrics else read_text
    found = {}
    for family in reader(StringIO(page.decode(), newline="\n")):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample
    return found
