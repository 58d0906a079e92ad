"""Which signed messages came before, for as long as they could come again."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict

MAX_MESSAGES = 300_000
MAX_OF_ONE = 200_000  # of them with one key: none uses up the room of all


SERVICE = ("replays",)


class ReplayMemory:
    """A service: the messages that came under each scheme, also under those that the configuration has no more.

    So none comes in again where a scheme is renamed, or taken out and put back.
    """

    def __init__(self) -> None:
        self._schemes: dict[str, Replays] = {}

    def of(self, scheme: str) -> Replays:
        """Those that came under this name."""
        return self._schemes.setdefault(scheme, Replays())

    def came(self, digest: bytes) -> bool:
        """Whether a message is remembered under any name."""
        return any(digest in replays for replays in self._schemes.values())


class Replays:
    """Remembers messages by their digests. It outlives a reload, and is bounded.

    It never forgets early to make room: that would let a message in twice. It is full before. `now` is in seconds, of
    any clock, and `seconds` for how long a message can be valid, at most. A reload may raise that: then messages hold
    again that were forgotten because they held no more. `may_be_forgotten` says of which age they are.
    """

    def __init__(self) -> None:
        # When, with which key, and when it was created; the oldest first. (A plain dict looks for its first entry among
        # all deleted ones.)
        self._seen: OrderedDict[bytes, tuple[float, str, float]] = OrderedDict()
        self._forgotten = -math.inf  # when the youngest message was created of those that were forgotten
        self._of: Counter[str] = Counter()

    def is_full(self, key: str, now: float, seconds: float) -> bool:
        """Whether no message with this key can be taken now."""
        self._forget(now - seconds)
        return len(self._seen) >= MAX_MESSAGES or self._of[key] >= MAX_OF_ONE

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._seen

    def let_pass(self, created: float) -> None:
        """A message comes in that is not remembered, because it may come again."""
        self._forgotten = max(self._forgotten, created)

    def may_be_forgotten(self, created: float) -> bool:
        """Whether a message that was created then could have come before without being remembered."""
        return created <= self._forgotten

    def is_new(self, key: str, digest: bytes, now: float, seconds: float, created: float = -math.inf) -> bool:
        """Whether a message came for the first time; from now on it did not. `created`: as it says itself."""
        self._forget(now - seconds)
        if digest in self._seen:
            return False
        self._seen[digest] = now, key, created
        self._of[key] += 1
        return True

    def _forget(self, until: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen))
            seen, key, created = self._seen[oldest]
            if seen > until:
                break
            del self._seen[oldest]
            self._forgotten = max(self._forgotten, created)
            self._of[key] -= 1
            if not self._of[key]:
                del self._of[key]
