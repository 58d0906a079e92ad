"""Files that a command writes and never overwrites."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path


def existing(directory: Path, names: Iterable[str]) -> list[str]:
    """Which of these are there already, also as links that lead nowhere."""
    return [name for name in names if os.path.lexists(directory / name)]


def write_new(directory: Path, texts: Mapping[str, str], private: Container[str] = ()) -> None:
    """Write them into a directory that is made where it is missing; all of them, or none. `private`: those that only
    their owner may read.

    Raises OSError, also for what is there already.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as made:
        for name, text in texts.items():
            opener = _for_owner if name in private else None
            with open(directory / name, "x", encoding="utf-8", opener=opener) as stream:
                made.callback((directory / name).unlink)
                stream.write(text)
        made.pop_all()


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
