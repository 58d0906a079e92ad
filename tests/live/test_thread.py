"""Work on threads that nothing waits for."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest

from gateway.live.thread import Worker, on_thread


async def test_work_that_comes_again_shares_a_thread() -> None:
    """What it returns, and what it raises, comes back."""
    worker = Worker("looking")
    first, second = await worker.run(threading.get_ident), await worker.run(threading.get_ident)
    assert first == second != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(threading.get_ident) == first
    worker.close()


async def test_work_that_hangs_is_left_behind() -> None:
    """After its time, the next piece of work runs; the thread of the former one ends when that does."""
    worker, goes_on = Worker("hanging"), threading.Event()
    threads: list[threading.Thread] = []

    def hang() -> None:
        threads.append(threading.current_thread())
        goes_on.wait()

    with pytest.raises(TimeoutError):
        await worker.run(hang, 0.05)
    assert await worker.run(lambda: "next", 60.0) == "next"
    goes_on.set()
    await asyncio.to_thread(threads[0].join, 60.0)
    assert not threads[0].is_alive()
    worker.close()


async def test_a_thread_for_one_piece_of_work_ends() -> None:
    """It does not wait for more."""
    thread = await on_thread("once", threading.current_thread)
    await asyncio.to_thread(thread.join, 60.0)
    assert not thread.is_alive()


async def test_a_result_is_let_go_once_it_was_taken() -> None:
    """The thread holds nothing, such as the contents of large files, while it waits for more work."""

    class Large:
        pass

    def read() -> Large:
        result = Large()
        weakref.finalize(result, gone.set)
        return result

    worker, gone = Worker("reading"), threading.Event()
    await worker.run(read)
    assert await asyncio.to_thread(gone.wait, 60)
    worker.close()
