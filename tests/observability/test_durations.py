"""What a real Prometheus knows of requests, against what the access log says of each of them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest

from gateway.algorithms.percentiles import SCALE
from tests.observability.test_prometheus import EXEMPLARS, Prometheus, scraping
from tests.support import GatewayProcess, running_gateway, until

pytestmark = pytest.mark.observability

NAME = "http_server_request_duration_seconds"
ROUTES = """
services: {{shop: {{endpoints: ['127.0.0.1:{port}']}}}}
routes:
- {{id: shop, path: '/shop/{{ms}}', target: shop}}
"""
GOES = "- {id: goes, path: /goes, respond: {status: 200, body: x}}\n"
REQUESTS = 600


class Waiting(BaseHTTPRequestHandler):
    """Answers /shop/25 after 25 ms."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        time.sleep(float(self.path.rpartition("/")[2]) / 1000)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def backend() -> Iterator[int]:
    """Its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Waiting)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def load(gateway: GatewayProcess) -> None:
    """Eight at once, of durations as those of real services: few are much slower than most."""
    drawn = random.Random(1)
    waits = [min(300.0, drawn.lognormvariate(2.5, 0.9)) for _ in range(REQUESTS)]

    def some(number: int) -> None:
        with httpx2.Client(base_url=gateway.url, trust_env=False) as client:
            for wait in waits[number::8]:
                assert client.get(f"/shop/{wait:.3f}").status_code == 200

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(some, range(8)))


def lines(gateway: GatewayProcess) -> list[dict[str, Any]]:
    """Of the access log, all that were asked for."""
    until(lambda: gateway.access_log.count('"shop"') >= REQUESTS, 10, "lines of the access log are missing")
    found = [json.loads(line) for line in gateway.access_log.splitlines()]
    return [line for line in found if line["route"] == "shop"]


def single(prometheus: Prometheus, expression: str) -> float:
    """The value of one sample; NaN where there is none."""
    found = prometheus.query(expression)
    return float(found[0]["value"][1]) if found else float("nan")


def test_native_percentiles_are_those_of_the_requests(tmp_path: Path, backend: int) -> None:
    """To the width of a bucket, though it is scraped while requests are served; none is missed, nor a scrape."""
    with (
        running_gateway(tmp_path, ROUTES.format(port=backend)) as gateway,
        scraping(tmp_path / "prometheus", gateway, "native-histograms") as prometheus,
    ):
        load(gateway)
        series = f'{NAME}{{route_id="shop"}}'
        until(lambda: single(prometheus, f"histogram_count({series})") == REQUESTS, 20, "a request is missing")
        assert single(prometheus, "min_over_time(up[1m])") == 1
        durations = sorted(line["duration"] for line in lines(gateway))
        width = 2 ** (2.0**-SCALE)
        for share in (0.5, 0.9, 0.99):
            rank = share * REQUESTS
            least, most = durations[int(rank) - 2], durations[min(int(rank) + 1, REQUESTS - 1)]
            found = single(prometheus, f"histogram_quantile({share}, {series})")
            assert least / width <= found <= most * width
        assert single(prometheus, f"histogram_sum({series})") == pytest.approx(sum(durations), rel=0.01)


def test_exemplars_name_traces_that_were(tmp_path: Path, backend: int) -> None:
    """Those that its API has are of requests that the access log has."""
    with (
        running_gateway(
            tmp_path, ROUTES.format(port=backend), f"{EXEMPLARS}\ntelemetry: {{otlp: 'http://127.0.0.1:9'}}\n"
        ) as gateway,
        scraping(tmp_path / "prometheus", gateway) as prometheus,
    ):
        load(gateway)
        until(lambda: bool(prometheus.exemplars(f"{NAME}_bucket")), 20, "no exemplar came")
        known = {line["trace_id"]: line["duration"] for line in lines(gateway)}
        for each in prometheus.exemplars(f"{NAME}_bucket"):
            assert known[each["labels"]["trace_id"]] == pytest.approx(float(each["value"]), rel=0.01, abs=1e-4)


def test_series_end_with_their_route(tmp_path: Path, backend: int) -> None:
    """At the next scrape after a reload, and not when Prometheus gives up on them five minutes later."""
    routes = ROUTES.format(port=backend)
    with (
        running_gateway(tmp_path, routes + GOES) as gateway,
        scraping(tmp_path / "prometheus", gateway) as prometheus,
    ):
        for path in ("/shop/1", "/goes"):
            httpx2.get(gateway.url + path)
        until(lambda: len(prometheus.query(f"{NAME}_count")) >= 2, 20, "the series did not come")
        gateway.write(routes)
        url = f"http://127.0.0.1:{gateway.admin_port}/reload"
        assert httpx2.post(url, headers=gateway.admin_token).status_code == 200

        def left() -> set[str]:
            return {each["metric"]["route_id"] for each in prometheus.query(f"{NAME}_count")}

        until(lambda: left() == {"shop"}, 20, "the series did not end")
