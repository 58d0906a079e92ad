"""A breaker for external services that requests wait for."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

FAILURES = 5  # in a row, and of different callers, after which it is left alone
PAUSE = 5.0  # seconds for which it is
TRIES = 32  # addresses that may try in any PAUSE afterwards


@dataclass(frozen=True, slots=True)
class Requester:
    """Who makes the gateway ask. None: what happens is not of their doing."""

    address: Hashable | None = None
    credential: bytes | None = None  # a digest


NO_REQUESTER = Requester()


class Breaker:
    """Leaves a server alone that did not answer several times in a row; then single calls find out.

    What one address or one credential causes counts once: a caller whose tokens make the server hang does not open it
    for all others. Nor does that caller's failure, when it is tried again, keep it open: others may try, too. And a
    failure does not count where others got their answers meanwhile: then it is not the server that hangs.
    """

    def __init__(self, failures: int = FAILURES, pause: float = PAUSE) -> None:
        self._limit = failures
        self._pause = pause  # seconds
        self._failures = 0
        self._open_until = 0.0
        self._answered = -math.inf  # when a call succeeded last
        self._causes: set[tuple[str, Hashable]] = set()  # of the failures that were counted
        self._not_before: dict[Hashable | None, float] = {}  # when each address may try that tried in vain

    def allows(self, now: float, address: Hashable | None = None) -> bool:
        """Whether to try. When the pause is over, each address may once, until one finds that it works."""
        if self._failures < self._limit:
            return True
        if now < self._open_until or now < self._not_before.get(address, now):
            return False
        if len(self._not_before) >= TRIES:
            self._not_before = {who: time for who, time in self._not_before.items() if now < time}
            if len(self._not_before) >= TRIES:
                return False
        self._not_before[address] = now + self._pause
        return True

    def succeeded(self, now: float) -> None:
        self._answered = now
        self._failures = 0
        self._causes.clear()
        self._not_before.clear()

    def failed(self, now: float, requester: Requester = NO_REQUESTER, asked: float = math.inf) -> None:
        """A call that began at `asked` got no answer."""
        if asked < self._answered:
            return
        if self._failures >= self._limit:
            self._not_before[requester.address] = now + self._pause
            return
        named = (("address", requester.address), ("credential", requester.credential))
        causes = {cause for cause in named if cause[1] is not None}
        if causes and not causes.isdisjoint(self._causes):
            return
        self._causes |= causes
        self._failures += 1
        self._open_until = now + self._pause
