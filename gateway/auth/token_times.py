"""How many tokens with right signatures came too early or too late: in a crowd they say that a clock is wrong."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

SERVICE: Final = ("token_times",)
"""The one identity under which it lives."""
WINDOW_SECONDS: Final = 300.0
CROWD: Final = 5  # tokens that are early; of expired ones, subjects
KEPT: Final = 64  # of each kind


class TokenTimes:
    """The tokens of a short time ago. Those that are remembered as right are not counted again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accepted: deque[float] = deque(maxlen=KEPT)
        self._early: deque[tuple[float, str, float]] = deque(maxlen=KEPT)  # when, whose, by how many seconds
        self._expired: deque[tuple[float, str]] = deque(maxlen=KEPT)  # when, and of which subject

    def accepted(self) -> None:
        """A token holds."""
        self._accepted.append(self._clock())

    def refused(self, issuer: str, subject: object, seconds: float) -> None:
        """A token does not hold: it expired so many seconds ago, or begins to hold in as many where it is negative."""
        if seconds < 0:
            self._early.append((self._clock(), issuer, -seconds))
        elif isinstance(subject, str):
            self._expired.append((self._clock(), subject))

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        since = self._clock() - WINDOW_SECONDS
        accepted = sum(at > since for at in self._accepted)
        early = [(issuer, seconds) for at, issuer, seconds in self._early if at > since]
        if len(early) >= CROWD and len(early) > accepted:
            issuers = ", ".join(sorted({issuer for issuer, _ in early})[:3])
            most = max(seconds for _, seconds in early)
            yield (
                f"tokens of {issuers} do not hold yet, by up to {most:.0f} s: the clock of this machine is behind, or "
                f"that of the issuer ahead; {SET_IT_RIGHT}"
            )
        expired = {subject for at, subject in self._expired if at > since}
        if len(expired) >= CROWD and not accepted:
            yield (
                f"all tokens of the last {WINDOW_SECONDS / 60:.0f} minutes had expired, of {len(expired)} subjects: "
                f"perhaps the clock of this machine is ahead; {SET_IT_RIGHT}"
            )


SET_IT_RIGHT: Final = "look at timedatectl or chronyc tracking, and set it right"
