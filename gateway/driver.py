"""What drives a coroutine without a task, for as long as it needs none.

A task, the futures that it waits for, and the turns of the loop between them are a tenth of what a short request costs.
So what answers a request begins where that was read, and goes on where the answer of its backend was. Code that needs
the task that runs (`asyncio.timeout`, most libraries) says so by `await in_task()`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Driver:
    """Waits where it is awaited, until something resumes it; as long as `by_hand`, and in its coroutine only."""

    __slots__ = ("by_hand",)

    by_hand: bool

    def __await__(self) -> Generator[Any, None, None]:
        raise NotImplementedError

    def resume(self, error: BaseException | None = None) -> None:
        """Go on, with this error where it waits, until it waits again. Not from code that it may have called itself."""
        raise NotImplementedError


class GivenUp(asyncio.CancelledError):
    """Nobody waits any more for what a driver does."""


async def in_task() -> None:
    """Go on in a task, if this is driven by hand."""
    if asyncio.current_task() is None:
        await asyncio.sleep(0)


def with_task(handler: Callable[[T], Awaitable[R]]) -> Callable[[T], Awaitable[R]]:
    """The same, always in a task."""

    async def handle(given: T) -> R:
        await in_task()
        return await handler(given)

    return handle
