"""Where passwords are checked: on threads, a few at a time, within a bound of memory, in turns by address."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor

from gateway.auth.turns import Turns

AT_A_TIME = 2
MEMORY = 64 * 1024**2  # bytes that all checks take; one that takes more by itself is done alone
WAITING_OF_ONE = 128  # checks of one address
WAITING = 512
NICENESS = 5  # requests go first; checks go on under load, too


class PasswordChecks:
    """A service: one for all schemes, and for those of the configurations before, which share the bounds."""

    def __init__(self) -> None:
        self._turns = Turns(MEMORY, AT_A_TIME, WAITING_OF_ONE, WAITING)
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Threads begin with the first check."""

    async def stop(self) -> None:
        """End the threads once they have done what they do."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    async def run(self, owner: Hashable, memory: int, check: Callable[[], bool]) -> bool:
        """The result of the check, which takes so many bytes. Raises BusyError if too many wait."""
        async with self._turns.turn(owner, max(memory, MEMORY // AT_A_TIME)):
            if self._threads is None:
                self._threads = ThreadPoolExecutor(AT_A_TIME, "password", _step_back)
            return await asyncio.get_running_loop().run_in_executor(self._threads, check)


def _step_back() -> None:
    """On Linux, the priority of a thread is its own; elsewhere it would be that of the process."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
