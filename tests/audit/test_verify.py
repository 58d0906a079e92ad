"""Every change of an audit log is found, and named with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.monitor.audit_chain import Link, Sealer
from gateway.monitor.audit_file import head_path
from tests.audit.support import errors, findings, verify, write

KEY = b"a key that is not known"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "audit.jsonl"
    write(path, 9)  # and the line of the start in front of them
    return path


def _lines(log: Path) -> list[bytes]:
    return log.read_bytes().splitlines(keepends=True)


def _found(log: Path, lines: list[bytes]) -> list[str]:
    log.write_bytes(b"".join(lines))
    return errors(findings(log))


def test_a_log_that_is_whole_is_right(log: Path) -> None:
    """With and without a key, over several starts."""
    write(log, 3)
    assert findings(log) == []
    assert verify(log).startswith("ok: 14 records, the last is 14:")


def test_a_removed_line_is_found(log: Path) -> None:
    """And how many are missing, before which line."""
    lines = _lines(log)
    assert _found(log, lines[:3] + lines[5:]) == ["4: records 4 to 5 are missing before this line"]
    assert "begins with record 2, not 1" in _found(log, lines[1:])[0]


def test_a_changed_line_is_found(log: Path) -> None:
    """Whatever was changed in it, if only by a space."""
    lines = _lines(log)
    changed = lines[3].replace(b'"/2"', b'"/x"')
    assert _found(log, [*lines[:3], changed, *lines[4:]]) == [
        "4: record 4 was changed: its hash is not that of its content"
    ]
    assert len(_found(log, [*lines[:3], lines[3].replace(b"{", b"{ ", 1), *lines[4:]])) == 1
    assert _found(log, [*lines[:3], b"nonsense\n", *lines[4:]]) == [
        "4: this is no line of the audit log: it was changed or put in",
        "5: record 4 is missing before this line",
    ]


def test_a_line_with_a_new_hash_is_found(log: Path) -> None:
    """Because the next line knows the old one; of the last line, the head does."""
    lines = _lines(log)
    before = Sealer().read(lines[2].strip())
    assert before is not None
    forged, _ = Sealer().seal({"path": "/other"}, before.link)
    assert _found(log, [*lines[:3], forged, *lines[4:]]) == [
        "5: record 5 does not follow from the line before: one of them was replaced"
    ]
    before = Sealer().read(lines[-2].strip())
    assert before is not None
    forged, _ = Sealer().seal({"path": "/other"}, before.link)
    assert _found(log, [*lines[:-1], forged]) == ["10: record 10 is another one than the head, or --expect, says"]


def test_reordered_and_added_lines_are_found(log: Path) -> None:
    """Also when the line that was put in is one that the gateway wrote."""
    lines = _lines(log)
    swapped = _found(log, [*lines[:3], lines[4], lines[3], *lines[5:]])
    assert "5: record 4 is behind record 5: moved, or put in" in swapped
    assert "5: record 3 is behind record 4: moved, or put in" in _found(log, [*lines[:4], lines[2], *lines[4:]])
    assert _found(log, [*lines, b"nonsense\n"]) == ["11: this is no line of the audit log: it was changed or put in"]


def test_a_cut_off_end_is_found(log: Path) -> None:
    """The head knows where the log ends; without one, that must be accepted by name."""
    lines = _lines(log)
    assert _found(log, lines[:-2]) == ["8: the log ends here, but records 9 to 10 are missing: the end was cut off"]
    assert _found(log, []) == ["0: the log ends here, but records 1 to 10 are missing: the end was cut off"]
    log.write_bytes(b"".join(lines[:-2]))
    head_path(log).unlink()
    assert "no head is beside these files" in verify(log, code=1)
    assert "ok: 8 records" in verify(log, "--no-head")


def test_an_anchor_from_elsewhere_finds_what_the_head_cannot(log: Path) -> None:
    """Log and head put back together to an older state, which fits by itself."""
    lines = _lines(log)
    last, early = Sealer().read(lines[-1].strip()), Sealer().read(lines[4].strip())
    assert last is not None
    assert early is not None
    log.write_bytes(b"".join(lines[:5]))
    head_path(log).write_bytes(Sealer().seal_head(early.link))
    assert "ok" in verify(log)
    assert "records 6 to 10 are missing" in verify(log, "--expect", str(last.link), code=1)
    assert "ok" in verify(log, "--expect", str(early.link))


def test_with_a_key_others_cannot_write(tmp_path: Path) -> None:
    """Neither a line nor a head; and without the key nothing can be verified."""
    log = tmp_path / "audit.jsonl"
    write(log, 5, key=KEY)
    key = tmp_path / "key"
    key.write_bytes(KEY + b"\n")
    assert "ok: 6 records" in verify(log, "--key-file", key)
    assert "--key-file" in verify(log, code=1)
    lines = _lines(log)
    end = Sealer(KEY).read(lines[-2].strip())
    assert end is not None
    forged, _ = Sealer().seal({"path": "/forged"}, end.link)
    log.write_bytes(b"".join([*lines[:-1], forged]))
    assert "record 6 was changed" in verify(log, "--key-file", key, code=1)
    log.write_bytes(b"".join(lines[:-1]))
    head_path(log).write_bytes(Sealer(b"another key of enough letters").seal_head(end.link))
    assert "the head is damaged or was changed" in verify(log, "--key-file", key, code=1)


def test_the_command_names_file_and_line(log: Path) -> None:
    """So that one finds the place, and the exit code tells a machine."""
    lines = _lines(log)
    log.write_bytes(b"".join(lines[:3] + lines[4:]))
    printed = verify(log, code=1)
    assert f"error: {log}:4: record 4 is missing before this line" in printed
    assert "1 error in 9 records" in printed
    assert "expected NUMBER:HASH" in verify(log, "--expect", "x", code=2)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_other_bytes_pass(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any byte replaced, removed or added anywhere in the lines is found."""
    log = tmp_path_factory.mktemp("log") / "audit.jsonl"
    write(log, 4)
    content = log.read_bytes()
    at = data.draw(st.integers(0, 10_000)) % (len(content) - 1)  # the length depends on the clock
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    byte = bytes([data.draw(st.integers(0, 255))])
    rest = content[at:] if change == "add" else content[at + 1 :]
    changed = content[:at] + (b"" if change == "remove" else byte) + rest
    if changed != content:
        log.write_bytes(changed)
        assert errors(findings(log))


def test_a_record_may_hold_any_text() -> None:
    """Also such as is no Unicode; the line is verified all the same."""
    line, link = Sealer().seal({"path": 'x","hash":"' + "0" * 64 + '"}\ud800\n'}, Link())
    read = Sealer().read(line.removesuffix(b"\n"))
    assert read is not None
    assert read.intact
    assert read.link == link
