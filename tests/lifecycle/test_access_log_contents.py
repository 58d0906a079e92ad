"""What a line of the access log says, which lines there are, and what is said where some are missing."""

from __future__ import annotations

import re
import resource
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from gateway.config.models.access_log import FIELDS
from tests.lifecycle.support import admin_url, health
from tests.support import GatewayProcess, exchange, running_gateway, until

ROUTES = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
AUTH = f"""
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
default: [keys]
consumers:
- name: acme
  keys:
  - {{hash: "sha256:{sha256(b"an expired key").hexdigest()}", expires: 2020-01-01}}
"""


def records(process: GatewayProcess, count: int) -> list[dict[str, Any]]:
    """The first lines, once there are so many."""
    until(lambda: process.access_log.count("\n") >= count, message=process.access_log)
    return [orjson.loads(line) for line in process.access_log.splitlines()]


def test_who_called_from_where_and_when(tmp_path: Path) -> None:
    """A line has an ISO time, the user agent and the referer, without what may be secret."""
    with running_gateway(tmp_path, ROUTES) as process:
        begun = time.time()
        referer = "https://me:pw@shop.example/cart?token=s3cret&page=2#access_token=s3cret"
        httpx2.get(f"{process.url}/x?q=s3cret", headers={"user-agent": "curl/8.5 " + "x" * 600, "referer": referer})
        (record,) = records(process, 1)
        at = datetime.fromisoformat(record["time"])
    assert record["time"].endswith("Z")
    assert at.tzinfo == UTC
    assert begun - 1 < at.timestamp() < time.time() + 1
    assert record["user_agent"] == ("curl/8.5 " + "x" * 600)[:512]
    assert record["referer"] == "https://shop.example/cart?token=(hidden)&page=(hidden)"
    assert "s3cret" not in process.access_log


def test_a_header_that_is_a_credential_is_left_out(tmp_path: Path) -> None:
    """Where a scheme reads its key from the referer, no line shows it."""
    auth = AUTH.replace("X-API-Key", "Referer")
    with running_gateway(tmp_path, ROUTES, auth=auth) as process:
        httpx2.get(f"{process.url}/x", headers={"referer": "an expired key"})
        (record,) = records(process, 1)
    assert record["referer"] is None
    assert record["refused_by"] == "authentication:keys"
    assert "an expired key" not in process.access_log


async def test_what_is_not_sent_is_not_counted(tmp_path: Path) -> None:
    """To HEAD, answers of the gateway have no body on the wire, and none in the log."""
    routes = "routes:\n- {path: /x, respond: {body: hello}}\n"
    with running_gateway(tmp_path, routes) as process:
        for method in (b"HEAD", b"GET"):
            for path in (b"/x", b"/none", b"/caf\xc3\xa9"):
                request = method + b" " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                _, _, body = (await exchange(process.port, request)).partition(b"\r\n\r\n")
                assert (method == b"HEAD") == (body == b"")
        lines = [(each["bytes_out"] > 0, each["method"], each["status"]) for each in records(process, 6)]
    expected = {(method == "GET", method, status) for method in ("HEAD", "GET") for status in (200, 400, 404)}
    assert set(lines) == expected


@pytest.mark.parametrize(
    ("line", "method", "path"),
    [
        (b"GET /caf\xc3\xa9?key=s3cret HTTP/1.1", "GET", "/cafÃ©"),
        (b"GET /\xc3\x89\x1b[2J HTTP/1.1", "GET", "/Ã**[2J"),
        (b"GET http://u:s3cret@a/\xff HTTP/1.1", "GET", "a/ÿ"),
        (b"\x16\x03\x01 /s3cret", "-", "/"),
    ],
)
async def test_the_path_of_what_is_no_request(tmp_path: Path, line: bytes, method: str, path: str) -> None:
    """It is logged as far as it came, if it looks like one, with nothing that a terminal would act upon."""
    with running_gateway(tmp_path, ROUTES) as process:
        assert (await exchange(process.port, line + b"\r\nHost: a\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        (record,) = records(process, 1)
    assert (record["method"], record["path"], record["original_path"]) == (method, path, path)
    assert "s3cret" not in process.access_log


def test_why_a_request_was_refused(tmp_path: Path) -> None:
    """The line names the entry of the blocklist, and whose key has expired; the client learns neither."""
    middleware = "blocklist: {entries: [{user_agent: '*scanner*', reason: seen on Monday}]}"
    with running_gateway(tmp_path, ROUTES, middleware, AUTH) as process:
        refusals = [
            httpx2.get(f"{process.url}/x", headers={"user-agent": "a scanner"}),
            httpx2.get(f"{process.url}/x", headers={"x-api-key": "an expired key"}),
        ]
        blocked, expired = records(process, 2)
    assert (blocked["status"], blocked["refused_by"]) == (403, "blocklist:user_agent")
    assert "*scanner*" in blocked["reason"]
    assert "seen on Monday" in blocked["reason"]
    assert (expired["status"], expired["claimed_consumer"], expired["consumer"]) == (401, "acme", None)
    assert (expired["refused_by"], expired["reason"]) == ("authentication:keys", "the API key has expired")
    assert not any("Monday" in refused.text or "acme" in refused.text for refused in refusals)


def test_only_the_fields_that_are_wanted_of_a_share_of_the_requests(tmp_path: Path) -> None:
    """`fields` orders and leaves out; `sample` writes a share by status, and every error."""
    routes = ROUTES + "- path: /bad\n  target: 127.0.0.1:1\n"
    middleware = "access_log: {fields: [status, path, error], sample: {2xx: 0, 4xx: 0, '404': 50%}}"
    with running_gateway(tmp_path, routes, middleware) as process, httpx2.Client(base_url=process.url) as client:
        for _ in range(40):
            client.get("/x")
            client.get("/none")
        client.post("/x", headers={"content-length": "1"}, content=b"1")
        client.get("/bad")
        until(lambda: '"/bad"' in process.access_log)
        lines = [orjson.loads(line) for line in process.access_log.splitlines()]
    assert [list(line) for line in lines if line["status"] == 502] == [["status", "path", "error"]]
    found = [line for line in lines if line["status"] == 404]
    assert 3 < len(found) < 37
    assert {line["sample_rate"] for line in found} == {0.5}
    assert {line["status"] for line in lines} == {404, 502}


def test_lost_lines_are_counted_and_the_recovery_is_logged(tmp_path: Path) -> None:
    """/health says that lines are lost, and why; afterwards the log says how many, in place of them."""
    file = tmp_path / "access.log"
    with running_gateway(tmp_path, ROUTES, f"access_log: {{output: {file}}}") as process:
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4500, most))
        with httpx2.Client(base_url=process.url) as client:
            for _ in range(60):
                assert client.get("/x").text == "one"
        until(lambda: any("cannot be written: File too large" in each for each in health(process)["failing"]))
        assert "gateway_access_log_up 0.0" in httpx2.get(admin_url(process, "/metrics")).text
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        until(lambda: not any("cannot be written" in each for each in health(process)["failing"]))
        httpx2.get(f"{process.url}/last")
        until(lambda: b'"path":"/last"' in file.read_bytes())
        metrics = httpx2.get(admin_url(process, "/metrics")).text
    lines = file.read_bytes().splitlines()
    lost = sum(orjson.loads(line)["lost"] for line in lines if line.startswith(b'{"lost"'))
    whole = [line for line in lines if line.endswith(b"}") and b'"lost"' not in line]
    assert len(whole) + lost == 61
    assert len(lines) <= len(whole) + 2
    assert lost > 0
    assert f"gateway_access_log_lost_total {lost}.0" in metrics
    assert f"is written again: {lost} access log lines lost" in process.log


def test_the_gateways_own_log_has_the_same_form(tmp_path: Path) -> None:
    """JSON where the access log is JSON, from the first line on; lines for people where that is for people."""
    with running_gateway(tmp_path, ROUTES) as process:
        lines = [orjson.loads(line) for line in process.log.splitlines()]
        assert {frozenset(line) for line in lines} == {frozenset(("time", "level", "logger", "message"))}
        assert lines[0]["level"] == "info"
        process.write(middleware="access_log: {format: console}")
        until(lambda: " INFO gateway.config: configuration " in process.log, message=process.log)


def test_less_of_the_gateways_own_log(tmp_path: Path) -> None:
    """--log-level warning leaves out what went well."""
    with running_gateway(tmp_path, ROUTES, arguments=("--log-level", "warning")) as process:
        process.write(routes="routes: nonsense\n")
        until(lambda: "configuration refused" in process.log)
        assert '"level":"info"' not in process.log


def test_the_page_has_every_field() -> None:
    """docs/access-log.md describes the fields as they are."""
    page = (Path(__file__).parents[2] / "docs/access-log.md").read_text().partition("\n## Requests to models")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)) == FIELDS
