"""What Prometheus scrapes."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2

import gateway
from gateway.auth.metrics import issuer_metrics
from gateway.http import Decision, Identity, Outcome
from gateway.http.testing import make_exchange
from gateway.live import Owner
from gateway.monitor.endpoint_metrics import endpoint_metrics
from gateway.monitor.metrics import HELP, Metrics, plain
from gateway.monitor.resilience_metrics import resilience_metrics
from gateway.monitor.traffic import CONSUMERS, Traffic
from gateway.registry.metrics import discovery_metrics
from tests.support import free_port, running_gateway


def test_requests_are_counted_by_route_and_status(tmp_path: Path) -> None:
    """The admin port has a page for Prometheus, with requests, durations and the state of the configuration."""
    routes = f"- path: /a/*\n  target: 127.0.0.1:{free_port()}\n"
    with running_gateway(tmp_path, routes) as process:
        assert httpx2.get(process.url + "/a/x").status_code == 502
        assert httpx2.get(process.url + "/b").status_code == 404
        page = httpx2.get(f"http://127.0.0.1:{process.admin_port}/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    lines = page.text.splitlines()
    assert 'gateway_requests_total{route="a",status="502"} 1.0' in lines
    assert 'gateway_requests_total{route="-",status="404"} 1.0' in lines
    assert 'gateway_request_seconds_count{route="a"} 1.0' in lines
    assert "gateway_config_good 1.0" in lines


def test_decisions_are_counted_by_rule() -> None:
    """A policy in shadow can be watched before it bites."""
    traffic = Traffic()
    exchange = make_exchange()
    exchange.decisions = (Decision("ip_allow:office", "shadow-deny", "not in 10.0.0.0/8"),)
    traffic.report(exchange, Outcome(0, 0, status=200))
    assert b'gateway_decisions_total{rule="ip_allow:office",verdict="shadow-deny"} 1.0' in Metrics(traffic).render()


def test_every_number_has_a_sentence() -> None:
    """Prometheus shows what a number means, and the documentation has the same sentences."""
    root = Path(gateway.__file__).parent
    plain_names = {
        name for file in root.rglob("*.py") for name in re.findall(r'"(gateway_[a-z_]+)": [^"(]', file.read_text())
    }
    assert plain_names == set(HELP)
    labelled = (*issuer_metrics([]), *endpoint_metrics([]), *discovery_metrics([]), *resilience_metrics(Owner()))
    pages = (*Metrics(Traffic()).collect(), *plain(dict.fromkeys(HELP, 1.0)), *labelled)
    sentences = {metric.name + "_total" * (metric.type == "counter"): metric.documentation for metric in pages}
    rows = re.findall(r"^\| `(gateway_\w+)` \| (.*) \|$", (root.parent / "docs/metrics.md").read_text(), re.MULTILINE)
    assert dict(rows) == sentences


def test_consumers_are_bounded() -> None:
    """A token issuer that invents subjects without end does not fill the memory."""
    traffic = Traffic()
    exchange = make_exchange()
    for number in range(CONSUMERS + 5):
        exchange.identity = Identity(f"c{number}", "login")
        traffic.report(exchange, Outcome(0, 0, status=200))
    page = Metrics(traffic).render()
    assert page.count(b"gateway_consumer_requests_total{") == CONSUMERS + 1
    assert b'gateway_consumer_requests_total{consumer="_other"} 5.0' in page
