from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from gateway.live.beside import Beside, hardly_noticed
from tests.support import eventually


def test_without_a_loop_it_is_done_at_once() -> None:
    """Where no request can be held up, there is nothing to wait for."""
    done = list[int]()
    Beside()(lambda: done.append(threading.get_ident()))
    assert done == [threading.get_ident()]


async def test_on_a_loop_one_thread_does_it_all() -> None:
    """However much is asked for at once, one other thread does it in order, and what fails stops nothing."""
    beside, done, finished = Beside(), list[threading.Thread](), asyncio.Event()
    loop = asyncio.get_running_loop()

    def fail() -> None:
        raise ValueError("a test")

    def finish() -> None:
        loop.call_soon_threadsafe(finished.set)

    beside(fail)
    for _ in range(100):
        beside(lambda: done.append(threading.current_thread()))
    beside(finish)
    await finished.wait()
    assert len(done) == 100
    assert threading.current_thread() not in done
    assert len(set(done)) == 1
    beside.retire()
    await eventually(lambda: not done[0].is_alive())


class _Cycle:
    """Holds itself, as what failed does by its traceback."""

    def __init__(self) -> None:
        self.itself = self


def _refused(found: list[weakref.ref[_Cycle]]) -> None:
    with hardly_noticed():
        found.append(weakref.ref(_Cycle()))
        raise ValueError("refused")


def test_what_failed_is_found_as_garbage() -> None:
    """A reload that is refused again and again takes no more memory each time."""
    found: list[weakref.ref[_Cycle]] = []
    with pytest.raises(ValueError, match="refused"):
        _refused(found)
    gc.collect()
    assert [each() for each in found] == [None]
