"""The rules of deploy/prometheus, by Prometheus's own tool."""

from __future__ import annotations

import subprocess

import pytest

from tests.docs.metrics import ROOT
from tests.observability.test_prometheus import program

pytestmark = pytest.mark.observability

CASES = ["rules.test.yaml", "days.test.yaml"]


def test_the_sample_is_a_configuration() -> None:
    """With the rules that it names, at which the tool finds nothing."""
    sample = ROOT / "deploy" / "prometheus" / "prometheus.yaml"
    found = subprocess.run(
        [program("promtool"), "check", "config", sample], capture_output=True, check=False, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("cases", CASES)
def test_each_alert_fires_when_it_should(cases: str) -> None:
    """And at no other time, on a simulated clock; what it says is what happened."""
    file = ROOT / "tests" / "observability" / cases
    found = subprocess.run([program("promtool"), "test", "rules", file], capture_output=True, check=False, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
