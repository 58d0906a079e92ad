"""How much memory this process may have: of its control group, or else of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
"""Where control groups are mounted."""
OWN: Final = Path("/proc/self/cgroup")
"""What says which is this process's."""

_UNLIMITED: Final = 2**60  # version 1 has a number near 2**63 for "none"


def memory_of_process(root: Path = ROOT, own: Path = OWN) -> int:
    """Bytes."""
    limits = [limit for group in groups(root, own) if (limit := limit_of(group)) is not None]
    return min([*limits, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")])


def groups(root: Path, own: Path) -> Iterator[Path]:
    """The directories of the control group of this process, and of those that it is in, which have limits, too."""
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers in ("", "memory"):
                mounted = root / controllers
                group = mounted / name.lstrip("/")
                # In a container, the group is mounted where all of them are, under whatever name it has outside.
                yield from (each for each in (group, *group.parents) if each == mounted or mounted in each.parents)


def limit_of(group: Path) -> int | None:
    """In bytes; None where there is none."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        number = number_in(group / name)
        if number is not None:
            return number if 0 < number < _UNLIMITED else None
    return None


def number_in(file: Path) -> int | None:
    """What a file of a control group says; None where it has no number."""
    with suppress(OSError, ValueError):
        return int(file.read_text())
    return None
