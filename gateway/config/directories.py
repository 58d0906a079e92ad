"""Directories of small files, such as a mounted Secret: a link for each key, to `..data`, which is swapped whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gateway.config.regular_files import read_regular

MOST_FILES = 2000  # all are looked at several times a second; a Secret has at most 1 MiB
MOST_BYTES = 64 * 1024  # of one file


def files_of(directory: Path) -> list[os.DirEntry[str]]:
    """Its files, by name, but those whose names begin with a dot. Raises OSError and ValueError."""
    with os.scandir(directory) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    if len(found) > MOST_FILES:
        raise ValueError(f"it has more than {MOST_FILES} files")
    return sorted(found, key=lambda entry: entry.name)


def contents_of(directory: Path) -> Mapping[str, bytes]:
    """What is in each of them, by name. Raises OSError and ValueError."""
    contents = {}
    for entry in files_of(directory):
        try:
            contents[entry.name] = read_regular(Path(entry.path), MOST_BYTES)
        except ValueError as error:
            raise ValueError(f"{entry.name}: {error}") from None
    return contents
