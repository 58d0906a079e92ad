"""A real Prometheus, as Debian has it, scrapes a gateway in each form, and answers what the documentation asks."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.docs.metrics import PAGE
from tests.support import GatewayProcess, free_port, running_gateway, until

pytestmark = pytest.mark.observability

ROUTES = """
services: {shop: {endpoints: ['127.0.0.1:1']}}
routes:
- {id: here, path: /here, respond: {status: 200, body: x}}
- {id: shop, path: /shop, target: shop}
"""
EXEMPLARS = "trace: {sample: 100%}"


def program(name: str) -> str:
    """Its path. Skips the test where there is none, and fails it in CI."""
    found = shutil.which(name)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"there is no {name}; install Debian's prometheus")
    if found is None:
        pytest.skip(f"there is no {name} on this machine (prometheus)")
    return found


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[Any]:
        answer = httpx2.get(f"{self._url}/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        found: list[Any] = answer["data"]["result"]
        return found

    def exemplars(self, expression: str) -> list[Any]:
        """Those of the last minute."""
        now = time.time()
        span: dict[str, str | float] = {"query": expression, "start": now - 60, "end": now + 1}
        series = httpx2.get(f"{self._url}/api/v1/query_exemplars", params=span).json()["data"]
        return [exemplar for one in series for exemplar in one["exemplars"]]

    def rules(self) -> list[Any]:
        """Those that it evaluates, with what came of it."""
        groups = httpx2.get(f"{self._url}/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def ready(self) -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{self._url}/-/ready").status_code == 200
        return False


@contextlib.contextmanager
def scraping(
    directory: Path, gateway: GatewayProcess, *features: str, rules: Sequence[Path] = ()
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes this gateway twice a second, and evaluates rules as often."""
    directory.mkdir()
    port, target = free_port(), f"127.0.0.1:{gateway.admin_port}"
    job = f"- {{job_name: gateway, static_configs: [{{targets: ['{target}']}}]}}\n"
    (directory / "prometheus.yml").write_text(
        "global: {scrape_interval: 500ms, evaluation_interval: 500ms}\n"
        f"rule_files: {[str(path) for path in rules]}\nscrape_configs:\n{job}"
    )
    arguments = [
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--enable-feature={','.join(('exemplar-storage', *features))}",
    ]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([program("prometheus"), *arguments], stdout=log, stderr=log)
    try:
        prometheus = Prometheus(f"http://127.0.0.1:{port}")
        until(prometheus.ready, 30, "Prometheus is not up")
        yield prometheus
    finally:
        process.terminate()
        process.wait()


def ask(gateway: GatewayProcess) -> None:
    for path in ("/here", "/here", "/shop"):
        httpx2.get(gateway.url + path)


@pytest.mark.parametrize("features", [(), ("native-histograms",)])
def test_it_understands_the_page(tmp_path: Path, features: tuple[str, ...]) -> None:
    """As OpenMetrics, and as protocol buffers: counters, and percentiles of classic or of native histograms."""
    program("prometheus")
    with running_gateway(tmp_path, ROUTES, EXEMPLARS) as gateway:
        ask(gateway)
        with scraping(tmp_path / "prometheus", gateway, *features) as prometheus:
            name = "http_server_request_duration_seconds"
            quantile = f"histogram_quantile(0.99, rate({name}{'' if features else '_bucket'}[1m]))"

            def answered() -> bool:
                ask(gateway)
                return any(0 < float(each["value"][1]) < 10 for each in prometheus.query(quantile))

            until(answered, 30, "no percentile came")
            (up,) = prometheus.query("up")
            assert up["value"][1] == "1"
            failed = prometheus.query('sum(gateway_requests_total{route_id="shop", outcome="failed"})')
            assert float(failed[0]["value"][1]) >= 1
            for expression in documented():
                prometheus.query(expression)


def documented() -> list[str]:
    """What docs/metrics.md has Prometheus asked."""
    page = PAGE.read_text()
    (block,) = re.findall(r"```promql\n(.*?)```", page, re.DOTALL)
    questions = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", block, flags=re.MULTILINE))
    return [each for each in questions if each.strip()]


def test_its_linter_finds_nothing(tmp_path: Path) -> None:
    """Names, units and help are as Prometheus advises."""
    with running_gateway(tmp_path, ROUTES) as gateway:
        ask(gateway)
        page = httpx2.get(f"http://127.0.0.1:{gateway.admin_port}/metrics").content
    found = subprocess.run([program("promtool"), "check", "metrics"], input=page, capture_output=True, check=False)
    assert (found.returncode, found.stderr) == (0, b"")
