"""Long work, where it holds no request up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger("gateway.live")

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
