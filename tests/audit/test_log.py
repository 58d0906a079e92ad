"""What becomes of records while the file cannot be written."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.http import Exchange, Outcome
from gateway.monitor import audit_log as module
from gateway.monitor.audit_file import AuditFile
from gateway.monitor.audit_log import AuditLog, AuditSettings
from tests.audit.support import findings, records, requests
from tests.support import eventually


@pytest.fixture
async def log() -> AsyncIterator[AuditLog]:
    made = AuditLog()
    yield made
    await made.stop()


def _report(log: AuditLog, path: str) -> None:
    exchange = Exchange("id", "GET", path, b"", [], {}, "http", "h", "c", False, "c")
    log.report(exchange, Outcome(time.time(), 0.0, 200))


async def test_a_second_gateway_waits_for_the_first(log: AuditLog, tmp_path: Path) -> None:
    """As when an old process still drains; records that arrive meanwhile are written afterwards, without a gap."""
    path = tmp_path / "audit.jsonl"
    first = AuditFile(path, None)
    log.configure(AuditSettings(path, None, 10**9))
    await eventually(lambda: log.refusing)
    _report(log, "/early")
    first.append([{"path": "/last"}])
    first.mark()
    first.close()
    await eventually(lambda: [record["path"] for record in requests(path)] == ["/last", "/early"])
    await eventually(lambda: not log.refusing)
    assert findings(path) == []


async def test_it_recovers_without_a_request(log: AuditLog, tmp_path: Path) -> None:
    """So that `closed` opens again by itself."""
    path = tmp_path / "audit.jsonl"
    first = AuditFile(path, None)
    log.configure(AuditSettings(path, None, 10**9))
    await eventually(lambda: log.refusing)
    first.close()
    await eventually(lambda: not log.refusing)
    assert [record["event"] for record in records(path)] == ["opened", "opened"]


async def test_what_finds_no_room_is_counted(log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the log itself, once it can be written, and the chain is whole."""
    monkeypatch.setattr(module, "QUEUE_LIMIT", 20)
    monkeypatch.setattr(module, "REFUSING_FROM", 10)
    monkeypatch.setattr(module, "BATCH_RECORDS", 5)
    path = tmp_path / "audit.jsonl"
    first = AuditFile(path, None)
    log.configure(AuditSettings(path, None, 10**9))
    await eventually(lambda: log.refusing)
    for number in range(100):
        _report(log, f"/{number}")
    first.close()
    await eventually(lambda: path.exists() and any(record.get("event") == "dropped" for record in records(path)))
    await eventually(lambda: not log.refusing)
    lost = sum(record["count"] for record in records(path) if record.get("event") == "dropped")
    assert lost == log.dropped > 0
    assert len(requests(path)) + lost == 100
    assert [finding.severity for finding in findings(path)] == ["note"]


async def test_records_go_where_the_settings_said_at_their_time(log: AuditLog, tmp_path: Path) -> None:
    """A file that cannot be written is no end: its records go into the one that replaces it."""
    stuck, other = tmp_path / "stuck.jsonl", tmp_path / "other.jsonl"
    holder = AuditFile(stuck, None)
    log.configure(AuditSettings(stuck, None, 10**9))
    _report(log, "/first")
    await eventually(lambda: log.refusing)
    log.configure(AuditSettings(other, None, 10**9))
    _report(log, "/second")
    await eventually(lambda: [record["path"] for record in requests(other)] == ["/first", "/second"])
    holder.close()
