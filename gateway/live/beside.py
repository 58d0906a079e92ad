"""Long work, where it holds no request up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Final

logger = logging.getLogger("gateway.live")

SWITCH_SECONDS: Final = 0.0005  # after which a thread lets the loop go on

Work = Callable[[], None]


class Beside:
    """One thread for work that is asked for on an event loop, piece by piece; elsewhere it is done at once."""

    def __init__(self) -> None:
        self._works: SimpleQueue[Work | None] | None = None

    def __call__(self, work: Work) -> None:
        """Do it."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            work()
            return
        if self._works is None:
            self._works = SimpleQueue()
            threading.Thread(target=_work, args=(self._works,), name="gateway-beside", daemon=True).start()
        self._works.put(work)

    def retire(self) -> None:
        """Let the thread end once it is free. See `Retiring`."""
        if self._works is not None:
            self._works.put(None)
            self._works = None


def _work(works: SimpleQueue[Work | None]) -> None:
    while (work := works.get()) is not None:
        try:
            work()
        except Exception:
            logger.exception("work beside requests failed")


@contextlib.contextmanager
def hardly_noticed() -> Iterator[None]:
    """While a thread works, let requests hardly notice.

    They get the interpreter back ten times sooner than usual, and are not stopped by collections of garbage, of which
    compiling makes none: with 10,000 routes each one would take a quarter of a second.
    """
    gc.collect()  # of what came since the last time: all else is frozen, and so will be what is made now
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.disable()
    try:
        yield
        gc.freeze()  # what was made holds no cycles, and goes with its last user: it need never be searched
    finally:
        gc.enable()  # of what failed, much is garbage, which the next collection finds
        sys.setswitchinterval(interval)
