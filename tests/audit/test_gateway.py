"""What a running gateway writes into its audit log, whatever happens to the file and to the gateway."""

from __future__ import annotations

import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.http import Exchange, Outcome
from gateway.monitor.audit_log import AuditLog
from tests.audit.support import findings, records, requests, verify
from tests.lifecycle.support import admin_url, reload
from tests.support import GatewayProcess, running_gateway, until

ROUTES = """
routes:
- {id: open, path: /open/*, target: "asgi:tests.lifecycle.apps:one"}
- {id: keyed, path: /keyed/*, target: "asgi:tests.lifecycle.apps:one", auth: [keys]}
"""
AUTH = """
schemes: {keys: {api_key: {header: X-API-Key}}}
consumers:
- {name: acme, tenant: t1, keys: ["sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]}
"""  # the hash of "secret"
MIDDLEWARE = """
access_log: {output: "off"}
audit_log: {file: ../audit.jsonl, on_failure: %s}
blocklist: {mode: shadow, entries: [{user_agent: "*watched*"}]}
"""


@pytest.fixture(params=["open"])
def gateway(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path, ROUTES, MIDDLEWARE % request.param, AUTH) as process:
        yield process


def _log(gateway: GatewayProcess) -> Path:
    return gateway.directory.parent / "audit.jsonl"


def _get(gateway: GatewayProcess, path: str = "/open/x", **headers: str) -> int:
    return httpx2.get(gateway.url + path, headers=headers).status_code


def _wait(gateway: GatewayProcess, count: int) -> list[dict[str, Any]]:
    """So many records of requests."""
    until(lambda: len(requests(_log(gateway))) >= count, message=gateway.log)
    return requests(_log(gateway))


def test_every_decision_is_recorded(gateway: GatewayProcess) -> None:
    """Who, from where, what, which rule and what it said; also what no route takes, and what only would be refused."""
    _get(gateway, "/keyed/x?q=1", **{"x-api-key": "secret"})
    _get(gateway, "/keyed/y", **{"x-api-key": "wrong"})
    _get(gateway, "/open/z", **{"user-agent": "watched"})
    _get(gateway, "/nowhere")
    known, unknown, watched, lost = _wait(gateway, 4)
    assert known["verdict"] == "allow"
    assert (known["client"], known["consumer"], known["tenant"], known["scheme"]) == ("127.0.0.1", "acme", "t1", "keys")
    assert (known["method"], known["path"], known["route"], known["status"]) == ("GET", "/keyed/x", "keyed", 200)
    assert known["decisions"][0]["rule"] == "authentication:keys"
    assert known["request_id"]
    assert (unknown["verdict"], unknown["status"], unknown["consumer"]) == ("deny", 401, None)
    assert unknown["decisions"][-1]["verdict"] == "deny"
    assert (watched["verdict"], watched["status"]) == ("shadow-deny", 200)
    assert watched["decisions"][-1]["rule"] == "blocklist:user_agent"
    assert (lost["verdict"], lost["error"], lost["route"]) == ("deny", "no-route", None)
    gateway.stop()
    assert verify(_log(gateway)).startswith("ok: 5 records")


def test_the_chain_goes_on_after_a_kill(gateway: GatewayProcess) -> None:
    """In the middle of traffic; what is in the log afterwards is whole, and the restart is recorded."""
    for number in range(20):
        _get(gateway, f"/open/{number}")
    _wait(gateway, 20)
    for number in range(20):
        _get(gateway, f"/open/{number}")
    assert gateway.process is not None
    gateway.process.kill()
    gateway.wait()
    gateway.start()
    _get(gateway, "/open/last")
    until(lambda: requests(_log(gateway))[-1]["path"] == "/open/last")
    gateway.stop()
    assert [str(found) for found in findings(_log(gateway)) if found.severity == "error"] == []
    assert [record["event"] for record in records(_log(gateway)) if "event" in record].count("opened") == 2


def test_sigusr1_begins_a_new_file(gateway: GatewayProcess) -> None:
    """After something else renamed the old one; both together are one chain, and no request is lost in between."""
    log = _log(gateway)
    _get(gateway, "/open/1")
    _wait(gateway, 1)
    moved = log.rename(log.with_name("audit.1"))
    _get(gateway, "/open/2")
    gateway.signal(signal.SIGUSR1)
    until(log.exists)
    _get(gateway, "/open/3")
    _wait(gateway, 1)
    gateway.stop()
    assert [record["path"] for record in requests(moved) + requests(log)] == ["/open/1", "/open/2", "/open/3"]
    assert findings(log, moved) == []


def test_a_file_that_is_too_large_is_rotated(tmp_path: Path) -> None:
    """The files have the numbers of their last lines, and are one chain."""
    middleware = "audit_log: {file: ../audit.jsonl, rotate_size: 4KiB}\n"
    with running_gateway(tmp_path, ROUTES, middleware, AUTH) as gateway:
        for number in range(40):
            _get(gateway, f"/open/{number}")
        until(lambda: len(list(tmp_path.glob("audit.jsonl.0*"))) >= 1)
    files = [tmp_path / "audit.jsonl", *tmp_path.glob("audit.jsonl.0*")]
    assert findings(*files) == []
    assert sorted(path for file in files for path in (record["path"] for record in requests(file))) == sorted(
        f"/open/{number}" for number in range(40)
    )


def test_a_reload_loses_nothing(gateway: GatewayProcess) -> None:
    """Not even when the log moves to another file and back."""
    other = gateway.directory.parent / "other.jsonl"
    for name in ("../other.jsonl", "../audit.jsonl"):
        assert _get(gateway) == 200
        gateway.write(middleware=f"audit_log: {{file: {name}}}\n")
        assert reload(gateway).status_code == 200
        assert _get(gateway) == 200
    gateway.stop()
    assert (len(requests(_log(gateway))), len(requests(other))) == (2, 2)
    assert findings(_log(gateway)) == findings(other) == []


def test_a_path_that_cannot_be_written_is_a_configuration_error(gateway: GatewayProcess) -> None:
    """Reported with its place; the log continues where it was."""
    gateway.write(middleware="audit_log: {file: /dev/null/audit.jsonl}\n")
    response = reload(gateway)
    assert response.status_code == 422
    assert "middleware.yaml:1:" in response.text
    assert "audit_log.file" in response.text
    _get(gateway, "/open/after")
    assert _wait(gateway, 1)[-1]["path"] == "/open/after"


def _fill(gateway: GatewayProcess) -> None:
    """From now on the disk is full for the gateway: no file of it may grow by more than a part of a line."""
    size = _log(gateway).stat().st_size + 50
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _empty(gateway: GatewayProcess) -> None:
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _warm(gateway: GatewayProcess) -> None:
    """Enough in the audit log that the gateway's own log, which must stay writable, is shorter."""
    for number in range(40):
        _get(gateway, f"/open/{number}")
    _wait(gateway, 40)


def test_a_full_disk_with_open(gateway: GatewayProcess) -> None:
    """Requests are served; their records wait, and are all there when there is room again."""
    _warm(gateway)
    _fill(gateway)
    assert {_get(gateway, f"/open/full{number}") for number in range(10)} == {200}
    until(lambda: "cannot be written, records wait" in gateway.log)
    _empty(gateway)
    until(lambda: len(requests(_log(gateway))) == 50, message=gateway.log)
    gateway.stop()
    assert findings(_log(gateway)) == []
    assert "the audit log is written again; records lost since the start: 0" in gateway.log


@pytest.mark.parametrize("gateway", ["closed"], indirect=True)
def test_a_full_disk_with_closed(gateway: GatewayProcess) -> None:
    """Once it is noticed nothing is served; it goes on by itself, and the refusals are recorded, too."""
    _warm(gateway)
    _fill(gateway)
    _get(gateway)
    until(lambda: "cannot be written, records wait" in gateway.log)
    response = httpx2.get(gateway.url + "/open/refused")
    assert (response.status_code, response.json()["type"]) == (503, "urn:problem-type:gateway:audit-unavailable")
    assert response.headers["retry-after"]
    _empty(gateway)
    until(lambda: _get(gateway) == 200)
    until(lambda: any(record["path"] == "/open/refused" for record in requests(_log(gateway))))
    refused = next(record for record in requests(_log(gateway)) if record["path"] == "/open/refused")
    assert (refused["verdict"], refused["decisions"][-1]["rule"]) == ("deny", "audit_log")
    gateway.stop()
    assert findings(_log(gateway)) == []


def test_a_deleted_file_is_reported(gateway: GatewayProcess) -> None:
    """A new one is begun, and what is missing can be seen in it."""
    _get(gateway, "/open/1")
    _wait(gateway, 1)
    _log(gateway).unlink()
    _get(gateway, "/open/2")
    until(_log(gateway).exists)
    _wait(gateway, 1)
    until(lambda: "was deleted; going on in a new file" in gateway.log)
    assert "begins with record 3" in verify(_log(gateway), code=1)


def test_without_the_log_a_request_pays_nothing() -> None:
    """Off is the default: a report returns at once, and nothing waits to be written."""
    of_others = set(threading.enumerate())
    log = AuditLog()
    exchange = Exchange("id", "GET", "/", b"", [], {}, "http", "h", "c", False, "c")
    outcome = Outcome(0.0, 0.0)
    started = time.thread_time()
    for _ in range(100_000):
        log.report(exchange, outcome)
    assert time.thread_time() - started < 0.5
    assert log.written == log.dropped == 0
    assert not any(thread.name == "audit-log" for thread in set(threading.enumerate()) - of_others)


def test_changes_by_the_admin_api_are_recorded(gateway: GatewayProcess) -> None:
    """Who changed what, and what came of it; also where it was refused, and never the token."""
    token = gateway.admin_token["authorization"].split()[1]
    assert reload(gateway).status_code == 200
    assert httpx2.delete(admin_url(gateway, "/blocklist?kind=network&value=10.0.0.1")).status_code == 401
    assert httpx2.get(admin_url(gateway, "/config")).status_code == 200

    def changes() -> list[tuple[Any, ...]]:
        written = records(_log(gateway)) if _log(gateway).exists() else []
        found = [record for record in written if record.get("event") == "admin"]
        keys = ("method", "path", "status", "verdict", "holder")
        return [tuple(record[key] for key in keys) for record in found]

    refused = ("DELETE", "/blocklist?kind=network&value=10.0.0.1", 401, "deny", None)
    until(lambda: changes() == [("POST", "/reload", 200, "allow", "local"), refused], message=str(changes()))
    assert token not in _log(gateway).read_text()
