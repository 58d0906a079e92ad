"""The rules for Prometheus, as far as that needs no Prometheus."""

from __future__ import annotations

import re

import yaml

from tests.docs.links import anchors
from tests.docs.metrics import PAGE, RULES, SUFFIX, alerts, listed, rules

from .programs import ROOT

METRIC = re.compile(r"\b(?:gateway|http|process)_\w+")
RECORDING = RULES.with_name("recording.yaml")


def test_the_page_has_the_rules() -> None:
    """docs/metrics.md lists every alert (`python -m tests.docs.metrics` writes the table)."""
    assert alerts() in PAGE.read_text()


def test_rules_ask_for_metrics_that_there_are() -> None:
    """Each name is one of docs/metrics.md, or is recorded by another rule."""
    recorded = {rule["record"] for rule in rules(RECORDING)}
    for rule in (*rules(RECORDING), *rules()):
        expression = rule["expr"]
        for name in re.findall(r"\w+:\w+:\w+", expression):
            assert name in recorded, name
        for name in METRIC.findall(re.sub(r"\w+:\w+:\w+", "", expression)):
            assert SUFFIX.sub("", name) in listed(), name


def test_each_alert_has_a_page_to_read() -> None:
    """It is there, and has the heading that is named."""
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket", "info")
        page, _, heading = rule["annotations"]["runbook"].partition("#")
        assert (ROOT / page).is_file(), rule["alert"]
        assert not heading or heading in anchors(ROOT / page), rule["annotations"]["runbook"]


def test_each_alert_has_a_case() -> None:
    """`make test-observability` has promtool see each of them fire."""
    cases = "".join(path.read_text() for path in (ROOT / "tests/observability").glob("*.test.yaml"))
    fired = {
        match
        for case in yaml.safe_load_all(cases.replace("# promtool", "---\n# promtool"))
        if case is not None
        for test in case["tests"]
        for query in test.get("promql_expr_test", ())
        for sample in query.get("exp_samples", ())
        for match in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    assert fired == {rule["alert"] for rule in rules()}
