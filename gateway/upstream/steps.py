"""Work on thousands of endpoints, in steps between which requests are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

STEP: Final = 250  # endpoints, which take about a millisecond
FEW: Final = 500  # endpoints, for which work takes no steps
SLICE: Final = 0.0005  # seconds of a turn of the loop, from which on no step is begun

_NOTHING: Final[Iterator[None]] = iter(())

T = TypeVar("T")


def in_steps(things: Sequence[T]) -> Iterator[Sequence[T]]:
    """So many at a time as one step takes."""
    for start in range(0, len(things), STEP):
        yield things[start : start + STEP]


class Stepwise:
    """Work that an iterator does, a step with each of its values."""

    __slots__ = ("_work", "over")

    def __init__(self, work: Iterator[None]) -> None:
        self._work = work
        self.over = False  # it is done, failed, or given up

    def begin(self, number: int) -> None:
        """Have it done for so many endpoints by the running loop, a little in each of its turns; at once for FEW, and
        where there is no loop."""
        if number <= FEW:
            self.finish()
            return
        try:
            asyncio.get_running_loop().call_soon(self._go_on)
        except RuntimeError:
            self.finish()

    def finish(self) -> None:
        """Do what is left of it, now."""
        while not self.over:
            self._step()

    def _go_on(self) -> None:
        ends = time.perf_counter() + SLICE
        while not self.over:
            self._step()
            if time.perf_counter() >= ends:
                asyncio.get_running_loop().call_soon(self._go_on)
                return

    def _step(self) -> None:
        try:
            next(self._work)
        except StopIteration:
            self.over = True
            self._work = _NOTHING  # which may know what holds this
        except BaseException:
            self.over = True
            raise


def done() -> Stepwise:
    """Work of which nothing is left."""
    stepwise = Stepwise(iter(()))
    stepwise.finish()
    return stepwise
