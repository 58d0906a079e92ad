"""Directories of small files, such as a mounted Secret: a link for each key, to `..data`, which is swapped whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from gateway.config.regular_files import read_regular, to_mend

MOST_FILES = 2000  # all are looked at several times a second; a Secret has at most 1 MiB
MOST_BYTES = 64 * 1024  # of one file


def files_of(directory: Path) -> list[tuple[str, os.stat_result]]:
    """Its files, by name, but those whose names begin with a dot. Raises OSError and ValueError."""
    with os.scandir(directory) as entries:
        found = [(entry.name, _status(entry)) for entry in entries if not entry.name.startswith(".")]
    files = [(name, status) for name, status in found if status is not None and _is_file(status.st_mode)]
    if len(files) > MOST_FILES:
        raise ValueError(f"it has more than {MOST_FILES} files")
    return sorted(files, key=lambda file: file[0])


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except FileNotFoundError:  # a link that leads nowhere
        return None
    except OSError:  # a link to where one may not look
        return entry.stat(follow_symlinks=False)


def _is_file(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def contents_of(directory: Path) -> Mapping[str, bytes | str]:
    """The contents of each of them, by name, or why a file cannot be read, which costs no other one anything. Raises
    OSError and ValueError of the directory itself."""
    return {name: _content(directory / name) for name, _ in files_of(directory)}


def _content(path: Path) -> bytes | str:
    try:
        return read_regular(path, MOST_BYTES)
    except OSError as error:
        return f"{error.strerror or 'it cannot be read'}; {to_mend(error)}"
    except ValueError as error:
        return str(error)
