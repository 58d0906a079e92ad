"""Files that a configuration names: very many of them cost little while nothing changes, and each change is noticed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.key_files import KeyFiles
from gateway.config.named_files import MANY, Digests

KEY = "a-key-of-many-characters-{}\n"


def written(directory: Path, count: int) -> list[Path]:
    paths = [directory / f"c{number}" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_text(KEY.format(number))
    return paths


def counted(monkeypatch: pytest.MonkeyPatch, function: str) -> list[object]:
    """What a function of `os` is called with."""
    calls: list[object] = []
    real: Callable[..., Any] = getattr(os, function)

    def noting(path: object, *arguments: Any, **options: Any) -> Any:
        calls.append(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, function, noting)
    return calls


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute later, so that no file was written just now."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)


def test_half_of_many_files_is_looked_at_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of any of them shows at the second look, at the latest."""
    names = [path.name for path in written(tmp_path, MANY + 500)]
    digests = Digests(tmp_path)
    before = digests.in_turn(names)
    looks = counted(monkeypatch, "stat")
    assert digests.in_turn(names) == before
    assert len(looks) < len(names) * 0.6
    for name in (names[0], names[-1]):
        (tmp_path / name).write_text(KEY.format("new"))
        found = [digests.in_turn(names) for _ in range(2)]
        assert found[-1][name] != before[name]


def test_a_large_directory_is_looked_at_every_other_time(tmp_path: Path) -> None:
    """The same of a directory with many files: what comes into it shows at the second look."""
    (tmp_path / "keys").mkdir()
    written(tmp_path / "keys", MANY + 500)
    digests = Digests(tmp_path)
    before = digests.in_turn(["keys"])
    assert digests.in_turn(["keys"]) == before
    (tmp_path / "keys" / "another").write_text(KEY.format("another"))
    found = [digests.in_turn(["keys"]) for _ in range(2)]
    assert found[-1] != before


def test_all_of_them_are_looked_at_where_someone_waits(tmp_path: Path) -> None:
    """A reload that was asked for sees every change."""
    names = [path.name for path in written(tmp_path, MANY + 500)]
    digests = Digests(tmp_path)
    before = digests.of(names)
    for name in names:
        (tmp_path / name).write_text(KEY.format("new"))
    found = digests.of(names)
    assert all(found[name] != before[name] for name in names)


def test_key_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are as they were are not opened again; one that was written is, and one that has gone is an error."""
    paths = written(tmp_path, 3)
    files = KeyFiles(paths)
    assert files.read() == []
    opened = counted(monkeypatch, "open")
    assert files.read() == []
    assert opened == []
    paths[1].write_text(KEY.format("new"))
    assert files.read() == []
    assert opened == [paths[1]]
    paths[2].unlink()
    assert [error.path for error in files.read()] == [paths[2]]
    assert [error.path for error in files.read()] == [paths[2]]
