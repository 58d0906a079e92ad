"""The coarse clock."""

from __future__ import annotations

import asyncio
import socket
import time

from gateway.deadlines import HELD_UP, NEVER, TICK, Deadlines


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
    worst: list[float] = []
    while not worst or (min(worst) >= TICK + 0.5 and len(worst) < 5):  # the machine has other work
        deadlines, start = Deadlines(loop), loop.time()
        waiting = [Waiting(deadlines, start + 0.01 * number) for number in range(20)]
        called = await asyncio.gather(*(one.called for one in waiting))
        late = [at - (start + 0.01 * number) for number, at in enumerate(called)]
        assert min(late) >= 0
        assert called == sorted(called)
        worst.append(max(late))
    assert min(worst) < TICK + 0.5


async def test_who_was_held_up_reads_what_came_meanwhile() -> None:
    """A process that was stopped, or that the machine gave no time, does not take what lies there for what is late."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        deadlines = Deadlines(loop)
        for held_up in (True, False):
            waiting = Waiting(deadlines, loop.time() + TICK)
            answer = asyncio.create_task(loop.sock_recv(ours, 1))
            await asyncio.sleep(0)
            if held_up:
                theirs.send(b"x")
                time.sleep(2 * (TICK + HELD_UP))  # noqa: ASYNC251  that is the point
                assert await answer == b"x"
                assert not waiting.called.done()
            deadlines.forget(waiting) if held_up else await waiting.called
            answer.cancel()


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
