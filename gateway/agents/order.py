"""Which messages are news: by `epoch` and `seq`, which only grow. What was seen outlives a restart, so that nothing
recorded can be played again."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

import orjson

from gateway.agents.payloads import MOST_AHEAD, Payload
from gateway.agents.whole_file import write_whole

MOST: Final = 10_000  # subjects that are remembered
MOST_MISSED: Final = 1_000_000  # messages that one gap counts for: the numbers are the sender's
MOST_BYTES: Final = 8 * 1024**2  # of the file


class Order:
    """The last numbers of each sender, topic and subject."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.missed = Counter[str]()  # messages that were lost on their way, by topic
        self.old = Counter[str]()  # that were no news
        self._path = path
        self._clock = clock
        self._last: OrderedDict[str, tuple[int, int]] = OrderedDict(_read(path))
        self._newest: dict[str, tuple[int, int]] = {}  # by sender and topic: for gaps
        self._changed = False

    def is_news(self, sender: str, topic: str, message: Payload) -> bool:
        """Whether a message is later than all that came before it. One without numbers is."""
        if message.epoch is None or message.seq is None:
            return True
        number = message.epoch, message.seq
        # Subjects are digests, so that all of them fit into the file, however long the names of others are.
        subject = blake2b(message.subject.encode(), digest_size=16).hexdigest() if message.subject else ""
        key = f"{sender} {topic} {subject}"
        last = self._last.get(key, (-1, -1))
        if self.is_ahead(message.epoch) or (number <= last and not self.is_ahead(last[0])):
            self.old[topic] += 1
            return False
        self._last[key] = number
        self._last.move_to_end(key)
        if len(self._last) > MOST:
            self._last.popitem(last=False)
        self._changed = True
        flow = f"{sender} {topic}"
        epoch, seq = self._newest.get(flow, (-1, -1))
        if number[0] == epoch and number[1] > seq + 1:
            self.missed[topic] += min(number[1] - seq - 1, MOST_MISSED)
        if number > (epoch, seq):
            self._newest[flow] = number
        return True

    def is_ahead(self, epoch: int) -> bool:
        """Whether a sender with this epoch has a clock that is more than five minutes ahead of this one."""
        return epoch > self._clock() * 1000 + MOST_AHEAD

    def save(self) -> None:
        """Write what is new. Raises OSError. For a thread."""
        if self._path is not None and self._changed:
            self._changed = False
            try:
                write_whole(self._path, orjson.dumps(dict(self._last)))
            except OSError:
                self._changed = True
                raise


def _read(path: Path | None) -> Mapping[str, tuple[int, int]]:
    """Nothing where there is no such file, or it cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        if path is not None and path.stat().st_size <= MOST_BYTES:
            found = dict(orjson.loads(path.read_bytes()))
            return {str(key): (int(epoch), int(seq)) for key, (epoch, seq) in found.items()}
    return {}
