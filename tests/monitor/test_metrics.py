"""What Prometheus scrapes."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2

import gateway
from gateway.monitor.metrics import HELP
from gateway.monitor.traffic import OUTCOMES
from gateway.monitor.traffic_metrics import BY_ROUTE
from tests.docs.metrics import PAGE, ROW, listed, sentences
from tests.monitor.exposition.messages import native
from tests.monitor.exposition.messages import read as read_messages
from tests.monitor.exposition.samples import read
from tests.support import GatewayProcess, free_port, running_gateway

ROOT = Path(gateway.__file__).parent
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"


def scrape(process: GatewayProcess, accept: str = "") -> httpx2.Response:
    return httpx2.get(f"http://127.0.0.1:{process.admin_port}/metrics", headers={"accept": accept})


def test_requests_are_counted(tmp_path: Path) -> None:
    """The admin port has a page for Prometheus, with requests, durations and the state of the configuration."""
    address = f"127.0.0.1:{free_port()}"
    with running_gateway(tmp_path, f"- path: /a/*\n  target: {address}\n") as process:
        assert httpx2.get(process.url + "/a/x").status_code == 502
        assert httpx2.request("XYZZY", process.url + "/b").status_code == 501
        text, openmetrics, protobuf = (scrape(process, each) for each in ("", "application/openmetrics-text", PROTOBUF))
    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert openmetrics.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    for found in (read(text.content), read(openmetrics.content, openmetrics=True)):
        counted = {key: sample.value for key, sample in found.items() if key[0] == "gateway_requests_total"}
        way = {"route_id": "a", "upstream": address, "tenant": "", "model_backend": ""}
        labels = way | {"status_class": "5xx", "method": "GET", "outcome": "failed"}
        none = labels | {"route_id": "-", "upstream": "-", "method": "_OTHER", "outcome": "refused"}
        assert counted == {("gateway_requests_total", tuple(sorted(each.items()))): 1 for each in (labels, none)}
        duration = found["http_server_request_duration_seconds_count", (("route_id", "a"), ("upstream", address))]
        assert duration.value == 1
        assert found["gateway_config_good", ()].value == 1
        assert found["http_server_active_requests", ()].value == 0
        assert found["process_resident_memory_bytes", ()].value > 1e6
        assert 0 <= found["gateway_loop_lag_seconds", ()].value < 5
    messages = read_messages(protobuf.content)
    durations = messages["http_server_request_duration_seconds"].metric
    assert [sum(native(each.histogram).values()) for each in durations] == [1, 1]
    (attempts,) = messages["http_client_request_duration_seconds"].metric
    assert attempts.histogram.sample_count >= 1


async def test_every_number_has_a_sentence() -> None:
    """Prometheus shows what a number means, and the documentation has the same sentences."""
    plain_names = {
        name
        for file in ROOT.rglob("*.py")
        if "control_plane" not in file.parts  # a process of its own, which names columns of its tables so
        for name in re.findall(r'"((?:gateway|llm)_[a-z_]+)": [^"(]', file.read_text())
    }
    assert plain_names == set(HELP)
    assert listed() == await sentences()


def test_labels_and_outcomes_are_explained() -> None:
    """The documentation says what each label of requests and each outcome is, in tables that have a head."""
    tables = re.findall(r"^\| (\S+) \| [^|\n]+ \|\n\|---\|---\|\n((?:\|.*\n)*)", PAGE.read_text(), re.MULTILINE)
    rows = {head: {name for name, _ in ROW.findall(table)} for head, table in tables}
    assert rows["`outcome`"] == set(OUTCOMES)
    assert {*BY_ROUTE, "tenant", "model_backend", "status_class", "method", "outcome"} <= rows["label"]


def test_a_series_ends_with_its_limit(tmp_path: Path) -> None:
    """A rate limit that is removed from middleware.yaml has no series any more."""
    limit = "rate_limits: {{{}: {{limits: [5/m]}}}}"
    name = "gateway_limit_requests_total"
    with running_gateway(tmp_path, "- {id: a, path: /a, respond: {status: 200}}\n", limit.format("old")) as process:
        httpx2.get(process.url + "/a")
        assert read(scrape(process).content)[name, (("limit", "rate_limit:old"), ("outcome", "accepted"))].value == 1
        process.write(middleware=limit.format("new"))
        reload = f"http://127.0.0.1:{process.admin_port}/reload"
        assert httpx2.post(reload, headers=process.admin_token).status_code == 200
        httpx2.get(process.url + "/a")
        assert {dict(labels)["limit"] for each, labels in read(scrape(process).content) if each == name} == {
            "rate_limit:new"
        }


def test_a_series_ends_with_its_route(tmp_path: Path) -> None:
    """A reload that removes a route removes its series, and keeps what was counted of the others."""
    route = "- {{id: {}, path: /{}, respond: {{status: 200}}}}\n"
    with running_gateway(tmp_path, route.format("a", "a") + route.format("b", "b")) as process:
        for path in ("/a", "/b"):
            httpx2.get(process.url + path)
        process.write(routes=f"routes:\n{route.format('b', 'b')}")
        reload = f"http://127.0.0.1:{process.admin_port}/reload"
        assert httpx2.post(reload, headers=process.admin_token).status_code == 200
        found = read(scrape(process).content)
    routes = {dict(labels)["route_id"] for name, labels in found if name == "gateway_requests_total"}
    durations = {
        dict(labels)["route_id"] for name, labels in found if name == "http_server_request_duration_seconds_sum"
    }
    assert routes == durations == {"b"}
    assert found["gateway_config_reloads_total", (("result", "loaded"),)].value == 1
