"""Work that may never end, on a thread that holds nothing up: neither the loop, nor the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def on_thread(name: str, work: Callable[[], T], seconds: float | None = None) -> T:
    """What the work returns. Raises TimeoutError when it takes longer; what comes of it later is dropped.

    `asyncio.to_thread` would have the process wait for it at its end. The work may only raise an Exception.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: Callable[[], None]) -> None:
        if not outcome.done():
            result()

    def run() -> None:
        try:
            value = work()
        except Exception as error:
            result: Callable[[], None] = _later(outcome.set_exception, error)
        else:
            result = _later(outcome.set_result, value)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(seconds):
        return await outcome


def _later(call: Callable[[T], None], value: T) -> Callable[[], None]:
    return lambda: call(value)
