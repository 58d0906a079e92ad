"""Huge pages for memory that has grown large, so that the processor finds its way through it.

With 100,000 keys a request needs five pages of 4 KiB that no request before has needed for long, and for each of them
the processor looks up first where it is: half of what such a request costs more. In pages of 2 MiB that is known.
"""

from __future__ import annotations

import ctypes
import re
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

HUGE: Final = 2 * 1024**2  # bytes of a huge page
FULL: Final = (
    0.9  # share of its small pages that are in use where a huge one takes their place: it takes the others, too
)
PAUSE: Final = 0.01  # seconds between two of them, in which requests go on that wait for this core

_COLLAPSE: Final = 25  # of madvise(2), since Linux 6.1
_PAGE: Final = resource.getpagesize()
_SELF: Final = Path("/proc/self")
_ENABLED: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_OWN: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *(?:\[heap\]|\[anon.*)?")


def anonymous_bytes() -> int:
    """Memory in use that is of no file. 0: the system does not say."""
    try:
        _, resident, shared, *_ = (_SELF / "statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE


def use_huge_pages() -> None:
    """Put what is in use into huge pages. Takes a second for 100 MB, without the interpreter.

    Where the system has no such pages, none to give away, or is set to "never", all stays as it is.
    """
    with suppress(OSError, AttributeError):
        if "[never]" in _ENABLED.read_text():
            return
        library = ctypes.CDLL(None)
        for block in _blocks(_SELF / "maps"):
            if _is_full(library, block):
                library.madvise(ctypes.c_void_p(block), ctypes.c_size_t(HUGE), _COLLAPSE)
                time.sleep(PAUSE)


def _blocks(maps: Path) -> Iterator[int]:
    """Where memory of this process is that could be in a huge page."""
    for line in maps.read_text().splitlines():
        if (found := _OWN.fullmatch(line)) is not None:
            begin, end = int(found[1], 16), int(found[2], 16)
            yield from range(-(-begin // HUGE) * HUGE, end // HUGE * HUGE, HUGE)


def _is_full(library: ctypes.CDLL, block: int) -> bool:
    present = (ctypes.c_ubyte * (HUGE // _PAGE))()
    if library.mincore(ctypes.c_void_p(block), ctypes.c_size_t(HUGE), present):
        return False
    return sum(present) >= FULL * len(present)
