"""The chain goes on after restarts, kills, rotations and full disks, and tells of what was lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.monitor.audit_file import AuditFile, head_path
from tests.audit.support import errors, findings, records, verify, write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_a_restart_goes_on(log: Path) -> None:
    """With the next number, and a line that tells of the start."""
    write(log, 2)
    write(log, 2)
    assert [record["seq"] for record in records(log)] == [1, 2, 3, 4, 5, 6]
    assert [record.get("event") for record in records(log)] == ["opened", None, None, "opened", None, None]


def test_a_torn_line_is_reported_and_not_hidden(log: Path) -> None:
    """What a kill -9 in the middle of a write leaves stays there, and the next line names it."""
    write(log, 3)
    with log.open("ab") as file:
        file.write(b'{"seq":5,"path":"/unfin')
    assert [str(found.severity) for found in findings(log)] == ["note"]
    write(log, 1)
    lines = log.read_bytes().splitlines()
    assert lines[4] == b'{"seq":5,"path":"/unfin'
    found = findings(log)
    assert errors(found) == []
    assert [(finding.number, finding.severity) for finding in found] == [(5, "note")]
    assert "ok: 7 records" in verify(log)
    log.write_bytes(log.read_bytes().replace(b"/unfin", b"/other"))
    assert errors(findings(log)) == ["5: this is no line of the audit log: it was changed or put in"]


def test_a_kill_between_log_and_head_loses_nothing(log: Path) -> None:
    """The log is ahead of its head then, and goes on from its own end."""
    write(log, 2)
    head = head_path(log).read_bytes()
    write(log, 2)
    head_path(log).write_bytes(head)
    reported = [str(finding) for finding in findings(log)]
    assert reported == [f"{log}:6: records 4 to 6 are behind the head: the gateway was killed, or is writing just now"]
    write(log, 1)
    assert findings(log) == []
    assert len(records(log)) == 8


def test_an_end_that_was_cut_off_while_nothing_ran_stays_visible(log: Path) -> None:
    """The chain goes on behind what is missing, so that it is missing for ever."""
    write(log, 5)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:4]))
    write(log, 1)
    assert errors(findings(log)) == [
        "5: records 5 to 6 are missing before this line",
        "5: when the gateway started, the log ends with record 4, and the head says 6",
    ]


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_head_that_is_missing_or_damaged_is_reported(log: Path, content: bytes | None) -> None:
    """In the log itself, because later it could not be seen what was cut off before."""
    write(log, 2)
    head_path(log).unlink()
    if content is not None:
        head_path(log).write_bytes(content)
    write(log, 1)
    assert len(errors(findings(log))) == 1
    assert "head" in errors(findings(log))[0]


def test_rotation_keeps_the_chain(log: Path) -> None:
    """By itself, and after something else renamed the file; the files are verified together, in any order."""
    file = AuditFile(log, None)
    file.append([{"path": "/1"}])
    file.rotate()
    file.append([{"path": "/2"}])
    log.rename(log.with_suffix(".moved"))
    file.append([{"path": "/3"}])  # still into the one that was moved
    file.reopen()
    file.append([{"path": "/4"}])
    file.mark()
    file.close()
    parts = [log, log.with_suffix(".moved"), log.with_name("audit.jsonl.000000000002")]
    assert findings(*parts) == []
    assert "ok: 7 records" in verify(*parts)
    assert "begins with record 6, not 1" in verify(log, code=1)
    assert "ok: 2 records" in verify(log, "--from", "6")
    assert "records 3 to 5 are missing" in verify(parts[0], parts[2], code=1)
    assert "the end was cut off" in verify(*parts[1:], "--head", head_path(log), code=1)


def test_a_restart_after_a_rotation_goes_on(log: Path) -> None:
    """Though there is nothing in the new file yet."""
    write(log, 2)
    moved = log.rename(log.with_suffix(".old"))
    write(log, 1)
    assert findings(log, moved) == []


def test_a_rotation_never_overwrites(log: Path) -> None:
    """Where a file of that name is there already, the log goes on where it is."""
    file = AuditFile(log, None)
    log.with_name("audit.jsonl.000000000001").write_text("precious")
    with pytest.raises(FileExistsError):
        file.rotate()
    file.append([{"path": "/1"}])
    file.mark()
    file.close()
    assert findings(log) == []


def test_only_one_process_writes(log: Path) -> None:
    """Two would write two chains into one file."""
    first = AuditFile(log, None)
    with pytest.raises(OSError, match="another process"):
        AuditFile(log, None)
    first.close()
    AuditFile(log, None).close()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe cannot be verified, nor gone on with."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        AuditFile(tmp_path / "pipe", None)
