"""Files that never end, or that wait for a writer, are refused at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config.regular_files import read_regular, to_mend


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    """A named pipe is refused without waiting for its other end, also behind a link."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(ValueError, match="not a regular file"):
            read_regular(tmp_path / name, 100)


@pytest.mark.parametrize("name", ["/dev/zero", "/proc/kmsg", "/proc/self/mem", "/proc/self/fd/0", "/"])
def test_what_the_kernel_offers_is_no_file(name: str) -> None:
    """Devices, and what looks like a regular file but waits for something to read, are refused."""
    with pytest.raises((ValueError, OSError)):
        read_regular(Path(name), 100)


def test_a_file_of_any_size_is_read_up_to_the_limit(tmp_path: Path) -> None:
    """A terabyte of nothing is refused before it is read."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(ValueError, match="larger than"):
        read_regular(path, 2048)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [(PermissionError(13, "Permission denied"), "the right to read it"), (FileNotFoundError(2, "none"), "create it")],
)
def test_the_remedy_is_that_of_the_cause(error: OSError, remedy: str) -> None:
    """Who is not allowed to read a secret is not told to create it."""
    assert remedy in to_mend(error)
