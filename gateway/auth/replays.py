"""Which signed messages came before, for as long as they could come again."""

from __future__ import annotations

MAX_MESSAGES = 200_000


class Replays:
    """A service that remembers messages by their digests. It outlives a reload, and is bounded.

    It never forgets early to make room: that would let a message in twice. It is full before.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds  # no message can be valid for longer
        self._seen: dict[bytes, float] = {}  # the oldest first, because all stay equally long

    async def start(self) -> None:
        """Nothing begins."""

    async def stop(self) -> None:
        """Nothing ends."""

    def is_full(self, now: float) -> bool:
        """Whether no message can be taken now. `now` in seconds, of any clock."""
        self._forget(now)
        return len(self._seen) >= MAX_MESSAGES

    def is_new(self, digest: bytes, now: float) -> bool:
        """Whether a message came for the first time; from now on it did not."""
        self._forget(now)
        if digest in self._seen:
            return False
        self._seen[digest] = now + self._seconds
        return True

    def _forget(self, now: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest] > now:
                break
            del self._seen[oldest]
