"""Large files are read again where they may say something else, and only there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic_core import _pydantic_core as pydantic_core

from gateway.config.large_files import LARGE, LargeFiles

LIMIT = 10 * LARGE
OLD = Path(pydantic_core.__file__)  # a large file that nobody has changed for a while
MOST = 1024**3


def test_a_change_that_only_the_contents_show_is_seen_at_once(tmp_path: Path) -> None:
    """A file that says something else is read anew, though its size and the times that programs set are as before."""
    files, path = LargeFiles(), tmp_path / "auth.yaml"
    for letter in (b"a", b"b", b"c"):
        path.write_bytes(letter * (LARGE + 1))
        os.utime(path, (1, 1))
        assert files.read(path, LIMIT) == letter * (LARGE + 1)


def test_a_file_that_is_replaced_is_seen_at_once(tmp_path: Path) -> None:
    """Another file under the same name, of the same size, is read, whether it was moved there or a link leads to it."""
    files, path = LargeFiles(), tmp_path / "auth.yaml"
    for number, letter in enumerate((b"a", b"b", b"c")):
        new = tmp_path / f"new-{number}"
        new.write_bytes(letter * (LARGE + 1))
        if number == 1:
            (tmp_path / "link").symlink_to(new)
            new = tmp_path / "link"
        new.replace(path)
        assert files.read(path, LIMIT) == letter * (LARGE + 1)


def test_a_file_that_says_the_same_is_held_once(tmp_path: Path) -> None:
    """What is written anew with the same contents needs no memory a second time."""
    files, path = LargeFiles(), tmp_path / "auth.yaml"
    path.write_bytes(b"a" * (LARGE + 1))
    first = files.read(path, LIMIT)
    path.write_bytes(b"a" * (LARGE + 1))
    assert files.read(path, LIMIT) is first


@pytest.mark.parametrize("size", [0, LARGE, LARGE + 2, LIMIT])
def test_a_file_that_becomes_another_size_is_read_anew(tmp_path: Path, size: int) -> None:
    """A file that grows or shrinks, also to a small one and back, says what it says now."""
    files, path = LargeFiles(), tmp_path / "auth.yaml"
    for contents in (b"a" * (LARGE + 1), b"a" * size, b"a" * (LARGE + 1)):
        path.write_bytes(contents)
        assert files.read(path, LIMIT) == contents


def test_a_file_that_is_gone_or_too_large_is_refused(tmp_path: Path) -> None:
    """A file that was read once is missed when it is removed, refused over the limit, and read when it is back."""
    files, path = LargeFiles(), tmp_path / "auth.yaml"
    path.write_bytes(b"a" * (LARGE + 1))
    files.read(path, LIMIT)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        files.read(path, LIMIT)
    for _ in range(2):
        path.write_bytes(b"a" * (LIMIT + 1))
        with pytest.raises(ValueError, match="larger than"):
            files.read(path, LIMIT)
        path.write_bytes(b"a" * (LARGE + 1))
        assert files.read(path, LIMIT) == b"a" * (LARGE + 1)


def test_an_old_file_is_not_read_again_until_that_is_asked_for() -> None:
    """Looking at a large file that did not change for seconds reads nothing of it; a requested reload compares it."""
    files, size = LargeFiles(), OLD.stat().st_size
    first = files.read(OLD, MOST)
    assert _bytes_read(files) >= size  # to be compared once
    assert _bytes_read(files) < size
    files.doubt()
    assert _bytes_read(files) >= size
    assert files.read(OLD, MOST) is first


def _bytes_read(files: LargeFiles) -> int:
    """What this process has read to look at the file."""
    before = _read_so_far()
    files.read(OLD, MOST)
    return _read_so_far() - before


def _read_so_far() -> int:
    found = re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())
    assert found
    return int(found[1])
