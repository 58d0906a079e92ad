"""The dashboards for Grafana, as far as that needs neither Grafana nor Prometheus."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.metrics import listed

from .programs import ROOT

DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
METRIC = re.compile(r"\b(?:gateway|http|llm|process)_\w+")


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    file: Path = request.param
    read: dict[str, Any] = json.loads(file.read_text())
    return read


def test_it_asks_for_metrics_that_there_are(dashboard: dict[str, Any]) -> None:
    """Of docs/metrics.md, of the Prometheus that its reader chooses, with no variable that is not declared."""
    declared = {each["name"] for each in dashboard["templating"]["list"]} | {"__rate_interval"}
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            names = {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in METRIC.findall(target["expr"])}
            assert names <= listed().keys(), (panel["title"], names - listed().keys())
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= declared


def test_its_panels_stand_beside_each_other(dashboard: dict[str, Any]) -> None:
    """Within the 24 columns that Grafana has; each has a number and a title of its own, and a unit."""
    panels = dashboard["panels"]
    for first, second in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        beside = first["x"] + first["w"] <= second["x"] or second["x"] + second["w"] <= first["x"]
        assert beside or first["y"] + first["h"] <= second["y"] or second["y"] + second["h"] <= first["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels)


def test_they_are_six() -> None:
    """Each with an address of its own in Grafana, and found by the same tag."""
    read = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert len({each["uid"] for each in read}) == len(read) == 6
    assert all(each["tags"] == ["flowmaster"] for each in read)
