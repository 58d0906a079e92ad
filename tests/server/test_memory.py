"""What a crowd of clients leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import pytest

from gateway.server import memory
from tests.support import eventually


class Left:
    """Something that only the garbage collector can free."""

    def __init__(self) -> None:
        self.itself = self


async def test_what_a_crowd_leaves_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once most of many connections are closed, what they held is given back without waiting for the next crowd."""
    monkeypatch.setattr(memory, "INTERVAL", 0.01)
    connections = set(range(memory.CROWD))
    gc.disable()
    task = asyncio.create_task(memory.give_memory_back(connections))
    try:
        left = weakref.ref(Left())
        await asyncio.sleep(0.05)
        assert left() is not None
        connections.clear()
        await eventually(lambda: left() is None)
    finally:
        gc.enable()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
