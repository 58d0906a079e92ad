"""The calls of an application that have not returned."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

logger = logging.getLogger("gateway.asgi")

FINISH_SECONDS: Final = 10.0  # for an application whose client has left
LAST_SECONDS: Final = 2.0  # for the same, once the application is to stop


class Running:
    """Those of one application, which has this name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: set[asyncio.Task[None]] = set()
        self._left: set[asyncio.Task[None]] = set()  # by their clients

    def begin(self, call: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a call."""
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    def leave(self, task: asyncio.Task[None], request_id: str) -> None:
        """The client has left, which the application is told: it may finish what it has to do then."""
        if task.done() or task in self._left:
            return
        clock = asyncio.get_running_loop().call_later(FINISH_SECONDS, self._too_long, task, request_id)

        def over(task: asyncio.Task[None]) -> None:
            clock.cancel()
            self._left.discard(task)

        self._left.add(task)
        task.add_done_callback(over)

    def _too_long(self, task: asyncio.Task[None], request_id: str) -> None:
        message = "%s was cancelled: it still ran %g s after the client of request %s had left"
        logger.warning(message, self._name, FINISH_SECONDS, request_id)
        task.cancel()

    async def over(self, seconds: float) -> None:
        """Wait for those that run now, at most this long."""
        if self._calls:
            await asyncio.wait(list(self._calls), timeout=seconds)

    async def stop(self) -> None:
        """Cancel all; those whose clients have left get a moment to finish."""
        for task in self._calls - self._left:
            task.cancel()
        if self._left:
            await asyncio.wait(list(self._left), timeout=LAST_SECONDS)
        for task in self._left:
            task.cancel()
