"""One bridge of a role in a state directory: two would fight for a port, and overwrite each other's files."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 0.1


@contextlib.asynccontextmanager
async def role_lock(state: Path, role: str, within: float) -> AsyncIterator[None]:
    """Hold the lock of a role, which ends with the process, however that ends. One that is just ending is waited for.

    Raises TimeoutError, whose text says which process has it, and OSError.
    """
    path = state / f"serve-{role}.lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + within
        while not _taken(lock):
            if time.monotonic() >= until:
                other = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
                raise TimeoutError(
                    f"a bridge of the role {role} runs already with this configuration (process {other}); end that "
                    "one, or give this one another state_directory and daemon"
                )
            await asyncio.sleep(LOOK_SECONDS)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
