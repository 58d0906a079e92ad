"""Data of other gateways with the same Redis: each puts its slices into a stream there, and reads those of others.

Minutes are followed always, slices of ten seconds for as long as they are asked for. Both streams are bounded, in time,
in number and in bytes. Redis being away costs nothing but the numbers of others, which come when it is back, as far as
they are still there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from gateway.live.paced import paced
from gateway.monitor.slices import Slice, sealed, written
from gateway.monitor.windows import FINE, KEPT, MINUTE, Windows
from gateway.outside.redis_link import RedisLink
from gateway.outside.redis_scripts import Script
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.monitor")

SLICE_BYTES: Final = 64 * 1024  # of one, as it is written
MOST: Final = 1000  # slices of one length, of all gateways together
CALL_SECONDS: Final = 2.0
AT_ONCE: Final = 4  # slices of one answer
ASKED_SECONDS: Final = 300.0  # for which slices of ten seconds are followed after they were asked for
HEARD_SECONDS: Final = 150.0  # for which a gateway counts among those that are known
LOG_SECONDS: Final = 60.0
AHEAD_SECONDS: Final = 60  # by which the clock of another gateway may be

_STREAM: Final = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'stream' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
"""
_PUSH: Final = Script(
    _STREAM
    + """
-- KEYS: the stream. ARGV: the gateway, its slice, how many slices there may be, and for how many seconds one is kept.
local oldest = string.format('%.0f', (redis.call('TIME')[1] - ARGV[4]) * 1000)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], '*', 'from', ARGV[1], 'data', ARGV[2])
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', oldest, 'COUNT', 4)) do
  redis.call('XDEL', KEYS[1], entry[1])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
)
_PULL: Final = Script(
    _STREAM
    + """
-- KEYS: the stream. ARGV: the id up to which it is known, how many entries are wanted, and the most bytes of a slice.
-- Answers for each entry its id, its gateway, and its slice, which is empty where it is too large.
local answer = {}
local read = redis.call('XREAD', 'COUNT', ARGV[2], 'STREAMS', KEYS[1], ARGV[1])
for _, entry in ipairs(read and read[1] and read[1][2] or {}) do
  local fields = {from = '', data = ''}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = string.sub(fields.from, 1, 100)
  answer[#answer + 1] = #fields.data <= tonumber(ARGV[3]) and fields.data or ''
end
return answer
"""
)


@dataclass(frozen=True, slots=True)
class Followed:
    """A minute of another gateway."""

    number: tuple[int, int]  # of its entry; what comes later has a higher one
    piece: Slice


class Replicas:
    """The others. `name` is what this gateway is called there, and `others` are the windows that they fill."""

    def __init__(self, link: RedisLink, name: str, others: Windows) -> None:
        self.link = link
        self.name = name
        self.available = True  # whether Redis answered the last time
        self._others = others
        self._known = {FINE: b"0-0", MINUTE: b"0-0"}
        self._asked = float("-inf")
        self._log = ThrottledLog(logger.warning, LOG_SECONDS)
        self._heard: dict[bytes, float] = {}  # when each of the others was heard of last; time.monotonic()

    @property
    def number(self) -> int:
        """How many there are beside this one."""
        now = time.monotonic()
        self._heard = {name: at for name, at in self._heard.items() if now - at < HEARD_SECONDS}
        return len(self._heard)

    def asked(self) -> bool:
        """Request the data of the last minutes. Whether it was not requested for a while."""
        now = time.monotonic()
        news, self._asked = now - self._asked >= ASKED_SECONDS, now
        return news

    async def push(self, step: int, piece: Slice, pause: float) -> None:
        """Send what came to this gateway to the others."""
        data, room = await paced(written(piece, self._others.subjects.subject), pause), SLICE_BYTES
        while len(data) > SLICE_BYTES:  # the names take room, too
            room //= 2
            fewer = sealed(piece.start, piece.seconds, dict(piece), room, self._others.subjects.other, piece.left_out)
            data = await paced(written(await paced(fewer, pause), self._others.subjects.subject), pause)
        arguments: list[str | int | bytes] = [self.name, data, MOST, step * (KEPT[step] + 1)]
        await self.link.ask(_PUSH, [self._key(step)], arguments, CALL_SECONDS)

    async def follow(self, now: float) -> AsyncIterator[Followed]:
        """Take in what the others have sent since the last time; answers with their minutes."""
        recently = time.monotonic() - self._asked < ASKED_SECONDS
        for step in (MINUTE, FINE) if recently else (MINUTE,):
            more = True
            while more:
                arguments: list[str | int | bytes] = [self._known[step], AT_ONCE, SLICE_BYTES]
                answer = await self.link.ask(_PULL, [self._key(step)], arguments, CALL_SECONDS)
                whole = (
                    isinstance(answer, list)
                    and len(answer) % 3 == 0
                    and all(isinstance(each, bytes) for each in answer)
                )
                if whole != self.available:
                    self.available = whole
                    state = "of all gateways again" if whole else "of this gateway alone: Redis does not answer"
                    logger.warning("the figures of the monitor are %s", state)
                entries = list(zip(answer[::3], answer[1::3], answer[2::3], strict=True)) if whole else []
                more = len(entries) == AT_ONCE
                for number, sender, data in entries:
                    self._known[step] = number
                    piece = await self._taken(step, data, now) if sender != self.name.encode() else None
                    if piece is not None:
                        self._heard[sender] = time.monotonic()
                        if step == MINUTE:
                            # The two of the id of an entry.
                            first, _, second = number.partition(b"-")
                            yield Followed((int(first), int(second)), piece)

    async def _taken(self, step: int, data: bytes, now: float) -> Slice | None:
        """The slice, put among the others'; None where it is none, or of another time."""
        try:
            piece = await paced(self._others.read(step, data))
        except ValueError as error:
            self._log.line("a slice of another gateway is left out: %s", error)
            return None
        if not now - step * KEPT[step] <= piece.start <= now + AHEAD_SECONDS:
            if piece.start > now:
                self._log.line("a slice of another gateway is of the future: compare the clocks of the gateways")
            return None
        await paced(self._others.put(step, piece))
        return piece

    def _key(self, step: int) -> str:
        return f"{self.link.prefix}monitor:{step}"
