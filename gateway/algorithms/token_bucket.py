"""How many of what comes may pass in a second, and as many at once: a token bucket (Turner, 1986)."""

from __future__ import annotations


class TokenBucket:
    """It holds what a second brings. Times are seconds of any one clock; one that goes back brings nothing."""

    __slots__ = ("_at", "_left", "_per_second")

    def __init__(self, per_second: float, now: float = 0.0) -> None:
        self._per_second = self._left = per_second
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more may pass."""
        self._left = min(self._per_second, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
