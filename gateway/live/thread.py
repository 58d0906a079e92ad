"""Work that may never end, on a thread that holds nothing up: neither the loop, nor the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar, cast

T = TypeVar("T")

_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Worker:
    """A thread for work that comes again and again, such as a look at a file. For one piece of work at a time.

    Where a piece takes too long, its thread is left to it, and the next piece gets another one. `close` ends the thread
    once it is free; without that, it ends with the process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] | None = None

    async def run(self, work: Callable[[], T], seconds: float | None = None) -> T:
        """The result of the work. Raises TimeoutError when it takes longer; a later result is dropped.

        The work may only raise an Exception.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        if self._jobs is None:
            self._jobs = SimpleQueue()
            threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True).start()
        self._jobs.put((work, loop, outcome))
        try:
            async with asyncio.timeout(seconds):
                return await outcome
        except BaseException:
            if not outcome.done() or outcome.cancelled():
                self.close()
            raise

    def close(self) -> None:
        """Let the thread end. The next piece of work gets another one."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None


async def on_thread(name: str, work: Callable[[], T], seconds: float | None = None) -> T:
    """The same for work that comes once.

    `asyncio.to_thread` would have the process wait for it at its end.
    """
    worker = Worker(name)
    try:
        return await worker.run(work, seconds)
    finally:
        worker.close()


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        _do(*job)
        del job  # and with it the result, which may be large, while there is nothing to do


def _do(work: Callable[[], Any], loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[Any]) -> None:
    try:
        value = work()
    except Exception as error:
        settle = _later(outcome, cast(Callable[[object], None], outcome.set_exception), error)
    else:
        settle = _later(outcome, outcome.set_result, value)
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(settle)


def _later(outcome: asyncio.Future[Any], settle: Callable[[Any], None], value: object) -> Callable[[], None]:
    def call() -> None:
        if not outcome.done():
            settle(value)

    return call
