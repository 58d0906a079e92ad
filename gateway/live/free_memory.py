"""Free memory, given back to the system: glibc keeps it for later, in pieces. Other C libraries do as they do."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

LARGE: Final = 4 * 1024**2  # bytes of a block that goes back by itself as soon as it is free

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_large_blocks_apart() -> None:
    """Let what is read of large files go back to the system in any case. Without this, glibc stops doing so once a
    first large block was freed."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, LARGE)
        library.mallopt(_TRIM_THRESHOLD, 2 * LARGE)


def give_back() -> None:
    """Give back what is free. Takes milliseconds, without the interpreter."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
