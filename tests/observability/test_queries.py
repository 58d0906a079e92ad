"""Every query of the dashboards and rules in deploy/, put to a real Prometheus that scraped a gateway with traffic."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.metrics import ROOT, RULES, rules
from tests.observability.test_prometheus import program, scraping
from tests.observability.world import ask, world
from tests.support import until

pytestmark = pytest.mark.observability

DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$route": ".*", "$upstream": ".*"}
COMPARISON = re.compile(r" (?:>|<|==|!=) [\d.]+(?: \* [\d.]+)*")
ONLY_THERE = {
    "GatewayMemoryNearLimit": "a control group with a limit, which not every machine has",
    "GatewayMetricsOverflow": "more than 1,000 tenants that auth.yaml does not know",
}
"""Alerts whose series are not in this test, with what they need; promtool sees them fire in rules.test.yaml."""


def queries(file: Path) -> Iterator[tuple[str, str]]:
    """Of a dashboard: each with its panel, with something in the place of the variables."""
    dashboard: dict[str, Any] = json.loads(file.read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked: str = target["expr"]
            for name, value in VARIABLES.items():
                asked = asked.replace(name, value)
            assert "$" not in asked, (panel["title"], asked)
            yield f"{file.name}: {panel['title']}", asked


def wanted() -> dict[str, str]:
    """All that shall find something. Of alerts, what they compare: they shall not fire because all is well."""
    asked = {f"{title} [{number}]": each for file in DASHBOARDS for number, (title, each) in enumerate(queries(file))}
    asked |= {rule["record"]: rule["record"] for rule in rules(RULES.with_name("recording.yaml"))}
    asked |= {rule["alert"]: COMPARISON.sub("", rule["expr"]) for rule in rules() if rule["alert"] not in ONLY_THERE}
    return asked


@pytest.mark.parametrize("features", [(), ("native-histograms",)])
def test_every_query_finds_something(tmp_path: Path, features: tuple[str, ...]) -> None:
    """With classic and with native histograms; and the rules are evaluated without errors."""
    program("prometheus")
    rule_files = (RULES, RULES.with_name("recording.yaml"))
    with world(tmp_path) as gateway, scraping(tmp_path / "prometheus", gateway, *features, rules=rule_files) as server:
        missing = wanted()

        def all_found() -> bool:
            ask(gateway)
            for name, expression in list(missing.items()):
                if server.query(expression):
                    del missing[name]
            return not missing

        try:
            until(all_found, 30)
        except AssertionError:
            pytest.fail("these find nothing:\n" + "\n".join(f"{name}: {each}" for name, each in missing.items()))
        states = server.rules()
        assert [(rule["name"], rule["lastError"]) for rule in states if rule["health"] == "err"] == []
        shown = [text for rule in states for each in rule.get("alerts", ()) for text in each["annotations"].values()]
        assert shown
        assert [text for text in shown if "<error" in text] == []
