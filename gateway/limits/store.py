"""The interface of stores of rate limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.limits.windows import WindowSet
from gateway.outside.patience import Patience


class Taken(NamedTuple):
    """Whether a request fits, and what is owed in each window: after it where it fits, before it where it does not."""

    fits: bool
    debts: Sequence[int]  # nanoseconds


class LocalStore(Protocol):
    """Counts in this process: the answer is mostly there at once. `now` is `time.monotonic_ns()`."""

    def take(self, key: str, windows: WindowSet, cost: int, now: int) -> Taken | None:
        """Count a request if it fits into every window, otherwise nothing. None: it cannot be said at once."""
        ...

    async def ask(self, key: str, windows: WindowSet, cost: int, patience: Patience) -> Taken | None:
        """The same after `take` said None, as long as patience lasts. None: the store does not answer."""
        ...

    def give_back(self, key: str, windows: WindowSet, cost: int, now: int) -> None:
        """The request that was counted does not go on, because another limit refused it."""
        ...

    def peek(self, key: str, windows: WindowSet, now: int) -> Sequence[int]:
        """The debt in each window, in nanoseconds."""
        ...
