"""Long-lived tasks: one that dies is logged, counted, restarted after a while, and reported in /health."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from gateway.algorithms.backoff import doubled
from gateway.custom_code import is_failure

logger = logging.getLogger("gateway.live")

FIRST_PAUSE = 0.5  # seconds until a task that died is begun again; doubled each time, and spread by a half
LONGEST_PAUSE = 30.0
WELL_SECONDS = 10.0  # that it must run for before it counts as well again

Work = Callable[[], Coroutine[Any, Any, None]]


class Supervised:
    """One task. It ends when its work returns, or by `cancel` or `finish`; not by anything that the work raises."""

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self.deaths = 0
        self._work = work
        self._in_a_row = 0
        self._began = 0.0  # loop time
        self._pausing = False
        self._reason = ""
        self._ending = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=name)

    @property
    def trouble(self) -> str | None:
        """Its problem: it died, and has not run for long enough since."""
        if not self._in_a_row or self._is_well():
            return None
        state = "waits to be begun again" if self._pausing else "was begun again a moment ago"
        return f"{self.name} ended {self._in_a_row} times with {self._reason}, and {state}; see the log"

    @property
    def done(self) -> bool:
        """Whether it has ended and will not be restarted."""
        return self._task.done()

    def cancel(self) -> None:
        """End it now."""
        self._task.cancel()

    async def finish(self) -> None:
        """Wait until the work returns, which must know that it is to; work that died meanwhile is not begun again."""
        self._ending.set()
        with suppress(asyncio.CancelledError):
            await asyncio.shield(self._task)

    def _is_well(self) -> bool:
        return not self._pausing and asyncio.get_running_loop().time() - self._began >= WELL_SECONDS

    async def _run(self) -> None:
        while await self._dies() and not self._ending.is_set():
            longest = doubled(FIRST_PAUSE, self._in_a_row, LONGEST_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(longest * random.uniform(0.5, 1.0)):
                    await self._ending.wait()

    async def _dies(self) -> bool:
        """Whether the work ended by an exception, of whatever kind; False where it returned."""
        self._began = asyncio.get_running_loop().time()
        self._pausing = False
        try:
            await self._work()
        except GeneratorExit:  # the loop is closed: nothing may be awaited any more
            return False
        except BaseException as error:
            if not is_failure(error):
                raise
            self._in_a_row = 1 if self._is_well() else self._in_a_row + 1
            self.deaths += 1
            self._reason = type(error).__name__
            self._pausing = True
            logger.exception("%s ended unexpectedly; it is restarted", self.name)
            return True
        return False


class Tasks:
    """The tasks of one live thing, which its owner reads, and ends where the thing does not."""

    def __init__(self) -> None:
        self._running: list[Supervised] = []
        self._former_deaths = 0

    def supervise(self, name: str, work: Work) -> Supervised:
        """Keep this work running. `name` is for the log and for /health; `work` makes the coroutine, each time."""
        for task in [task for task in self._running if task.done]:
            self._former_deaths += task.deaths
            self._running.remove(task)
        task = Supervised(name, work)
        self._running.append(task)
        return task

    @property
    def deaths(self) -> int:
        """How often one of them died."""
        return self._former_deaths + sum(task.deaths for task in self._running)

    def troubles(self) -> list[str]:
        """Their problems, a sentence each."""
        return [trouble for task in self._running if (trouble := task.trouble) is not None]

    def cancel(self) -> None:
        """End all of them."""
        for task in self._running:
            task.cancel()

    async def end(self) -> None:
        """The same, and wait until they have ended."""
        self.cancel()
        for task in self._running:
            await task.finish()
