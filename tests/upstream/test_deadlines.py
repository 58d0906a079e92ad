"""The coarse clock."""

from __future__ import annotations

import asyncio

from gateway.deadlines import NEVER, TICK, Deadlines


class Waiting:
    """Notes when it was called."""

    def __init__(self, deadlines: Deadlines, deadline: float) -> None:
        self.deadline = deadline
        self.called = asyncio.get_running_loop().create_future()
        deadlines.watch(self)

    def expired(self, now: float) -> None:
        self.deadline = NEVER
        self.called.set_result(now)


async def test_late_by_a_tick_and_never_early() -> None:
    """Every deadline is met, in order, never early, and late by little more than a tick."""
    loop = asyncio.get_running_loop()
    deadlines, start = Deadlines(loop), loop.time()
    waiting = [Waiting(deadlines, start + 0.01 * number) for number in range(20)]
    for one, called in zip(waiting, await asyncio.gather(*(one.called for one in waiting)), strict=True):
        due = start + 0.01 * waiting.index(one)
        assert due <= called < due + TICK + 0.5


async def test_moved_or_forgotten() -> None:
    """A deadline that was moved by another one in the same moment, or given up, is not met."""
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    first, second, forgotten = (Waiting(deadlines, loop.time()) for _ in range(3))
    deadlines.forget(forgotten)

    def move(one: Waiting, other: Waiting) -> None:
        def expired(now: float) -> None:
            one.deadline = other.deadline = NEVER
            one.called.set_result(now)

        one.expired = expired  # type: ignore[method-assign]

    move(first, second)
    move(second, first)
    last = Waiting(deadlines, loop.time() + 3 * TICK)
    await last.called
    assert [first.called.done(), second.called.done()].count(True) == 1
    assert not forgotten.called.done()
