"""Directories of small files, such as a mounted Secret: a link for each key, to `..data`, which is swapped whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from gateway.config.regular_files import read_regular

MOST_FILES = 2000  # all are looked at several times a second; a Secret has at most 1 MiB
MOST_BYTES = 64 * 1024  # of one file


def files_of(directory: Path) -> list[tuple[str, os.stat_result]]:
    """Its files, by name, but those whose names begin with a dot. Raises OSError and ValueError."""
    with os.scandir(directory) as entries:
        found = [(entry.name, _status(entry)) for entry in entries if not entry.name.startswith(".")]
    files = [(name, status) for name, status in found if status is not None and stat.S_ISREG(status.st_mode)]
    if len(files) > MOST_FILES:
        raise ValueError(f"it has more than {MOST_FILES} files")
    return sorted(files, key=lambda file: file[0])


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except FileNotFoundError:  # a link that leads nowhere
        return None


def contents_of(directory: Path) -> Mapping[str, bytes]:
    """The contents of each of them, by name. Raises OSError and ValueError."""
    contents = {}
    for name, _ in files_of(directory):
        try:
            contents[name] = read_regular(directory / name, MOST_BYTES)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return contents
