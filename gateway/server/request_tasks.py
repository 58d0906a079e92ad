"""Tasks for requests that need one, each of which had others before."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any, Final

from gateway.server.context import ServerContext

MOST_IDLE: Final = 256  # that wait for a request


class _Rest:
    """What is left of a coroutine that has begun, which Python does not let be awaited as such."""

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, None, None]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, None, None]:
        return self._coroutine.__await__()


class RequestTask:
    """A task for what needs one, request after request.

    A task for each would cost a twentieth of all that a request costs. What code leaves in its task is nothing that the
    next request may find: a task whose context has become another one, as behind custom policies, or that was
    cancelled, takes no other one.
    """

    __slots__ = ("_context", "_next", "_running", "_task", "_waiter")

    def __init__(self, context: ServerContext, coroutine: Coroutine[Any, None, None]) -> None:
        self._context = context
        self._next = [coroutine]  # at most one
        self._running: Coroutine[Any, None, None] | None = None
        self._waiter: asyncio.Future[None] | None = None  # set while there is none
        # Whatever runs now may have a context of its own.
        self._task: asyncio.Task[None] = context.loop.create_task(self._work(), context=context.variables.copy())

    def go_on(self, coroutine: Coroutine[Any, None, None]) -> bool:
        """Run this to its end from the next turn of the loop on; False where the task is over."""
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return False
        self._next.append(coroutine)
        waiter.set_result(None)
        return True

    def cancel(self) -> None:
        """Stop what it runs. What it has not begun to run begins before: else it would not learn of its end."""
        if self._next:
            self._context.loop.call_soon(self._cancel, self._next[0])
        else:
            self._task.cancel()

    def _cancel(self, coroutine: Coroutine[Any, None, None]) -> None:
        if self._running is coroutine:
            self._task.cancel()

    async def _work(self) -> None:
        context = self._context
        while self._next:
            self._running = self._next.pop()
            try:
                await _Rest(self._running)
            except asyncio.CancelledError:  # whose frames hold the request, and which a cancelled task keeps
                self._running = None
                return
            self._running = None
            try:
                if len(context.idle) >= MOST_IDLE or self._task.cancelling() or copy_context() != context.variables:
                    return
            except Exception:  # of values of others, which are compared
                return
            context.idle.append(self)
            waiter = self._waiter = asyncio.Future(loop=context.loop)
            await waiter


def run_in_task(context: ServerContext, coroutine: Coroutine[Any, None, None]) -> RequestTask:
    """Run a coroutine in a task, from the next turn of the loop on."""
    while context.idle:
        idle: RequestTask = context.idle.pop()
        if idle.go_on(coroutine):
            return idle
    return RequestTask(context, coroutine)
