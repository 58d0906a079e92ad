"""Work on the contents of revisions, beside the loop: a little at a time, and none of it without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from gateway.control_plane.problems import Problem
from gateway.live import on_thread

SECONDS: Final = 60.0
AT_ONCE: Final = 2

T = TypeVar("T")


class Beside:
    """Whose turn it is, of all such work of this process."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def run(self, name: str, work: Callable[[], T], seconds: float = SECONDS) -> T:
        """The result of the work with this name. Raises Problem after a time-out."""
        async with self._turns:
            try:
                return await on_thread(name, work, seconds)
            except TimeoutError:
                raise Problem(400, f"the {name} takes longer than {seconds:g} s; make the files smaller") from None
