"""The entries that are made at runtime, as all gateways with the same Redis know them.

Redis numbers the changes, and each gateway asks once a second for those that it has not seen. Of two changes of one
entry the later one counts, by the clocks of the gateways that made them. While Redis is away each gateway goes on with
what it knows; a Redis that has lost its data gets everything again.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from typing import Any

from gateway.access.entries import Entry, from_json
from gateway.outside.redis_link import RedisLink
from gateway.outside.redis_scripts import Script

logger = logging.getLogger("gateway.blocklist")

CALL_SECONDS = 2.0
BATCH = 200  # entries of a call, so that none keeps Redis busy for long

_KEYS = ("entries", "order", "ends", "meta")

_MENDED = """
-- What is not what this module put there goes, all of it: the gateways then say again what they know.
local function is_ours()
  for i, kind in ipairs({'hash', 'zset', 'zset', 'hash'}) do
    local found = redis.call('TYPE', KEYS[i]).ok
    if found ~= kind and found ~= 'none' then return false end
  end
  local number = redis.call('HGET', KEYS[4], 'number') or '0'
  local generation = redis.call('HGET', KEYS[4], 'generation') or '0'
  return string.match(number, '^%d+$') and #number < 16 and string.match(generation, '^%x+$')
end
if not is_ours() then redis.call('DEL', unpack(KEYS)) end
"""
_PUSH = Script(
    _MENDED
    + """
-- ARGV: for each entry its name, when it was changed, until when it is kept ('' permanently), and its text.
for i = 1, #ARGV, 4 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  if not known or (tonumber(string.match(known, '^%S+')) or 0) < tonumber(ARGV[i + 1]) then
    local number = redis.call('HINCRBY', KEYS[4], 'number', 1)
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 3])
    redis.call('ZADD', KEYS[2], number, ARGV[i])
    if ARGV[i + 2] == '' then
      redis.call('ZREM', KEYS[3], ARGV[i])
    else
      redis.call('ZADD', KEYS[3], ARGV[i + 2], ARGV[i])
    end
  end
end
return 1
"""
)
_PULL = Script(
    _MENDED
    + """
-- ARGV: the generation and the number up to which the gateway knows the changes, how many it wants, the time, and
-- a name for a generation in case there is none. Answers the generation and the number of the last change, then for
-- each change its number and its text.
local generation = redis.call('HGET', KEYS[4], 'generation')
if not generation then
  generation = ARGV[5]
  redis.call('HSET', KEYS[4], 'generation', generation)
end
local last = redis.call('HGET', KEYS[4], 'number') or '0'
local since = ARGV[2]
if generation ~= ARGV[1] or tonumber(last) < tonumber(since) then since = '0' end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[4], 'LIMIT', 0, ARGV[3])) do
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('ZREM', KEYS[3], name)
end
local answer = {generation, last}
local changes = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #changes, 2 do
  answer[#answer + 1] = changes[i + 1]
  answer[#answer + 1] = string.match(redis.call('HGET', KEYS[1], changes[i]) or '', '^%S+ (.*)$') or ''
end
return answer
"""
)


class SharedEntries:
    """Exchanges changes with other gateways."""

    def __init__(self, link: RedisLink) -> None:
        self.available = True  # False from a failure until it works again
        self._link = link
        self._keys = [f"{link.prefix}blocklist:{name}" for name in _KEYS]
        self._generation = ""
        self._number = 0

    async def push(self, entries: Sequence[Entry]) -> bool:
        """Send it to the others; whether that worked."""
        for start in range(0, len(entries), BATCH):
            arguments: list[str | int] = []
            for entry in entries[start : start + BATCH]:
                kept = entry.until if entry.kept is None else entry.kept
                text = entry.to_json().decode()
                name = f"{entry.kind}:{entry.value}"
                arguments += [name, repr(entry.changed), "" if kept is None else repr(kept), text]
            if await self._call(_PUSH, arguments) is None:
                return False
        return True

    async def pull(self) -> tuple[list[Entry], bool] | None:
        """Changes since the last exchange, and whether Redis needs everything again. None: it is unavailable."""
        entries: list[Entry] = []
        anew = False
        while True:
            arguments: list[str | int] = [self._generation, self._number, BATCH, repr(time.time()), uuid.uuid4().hex]
            answer = await self._call(_PULL, arguments)
            if not isinstance(answer, list) or len(answer) < 2 or not all(isinstance(item, bytes) for item in answer):
                return None  # it is away, or no Redis
            generation, last = answer[0].decode(), int(answer[1])
            anew = anew or generation != self._generation or last < self._number
            self._generation = generation
            self._number = int(answer[-2]) if len(answer) > 2 else last
            entries += [entry for entry in map(_parsed, answer[3::2]) if entry is not None]
            if len(answer) < 2 + 2 * BATCH:
                return entries, anew

    async def _call(self, script: Script, arguments: Sequence[str | int]) -> Any:
        answer = await self._link.ask(script, self._keys, arguments, CALL_SECONDS)
        if self.available != (answer is not None):
            self.available = not self.available
            state = "is shared again" if self.available else "uses local entries only: Redis does not answer"
            logger.warning("the blocklist %s", state)
        return answer


def _parsed(text: bytes) -> Entry | None:
    try:
        return from_json(text)
    except ValueError as error:
        logger.warning("an entry of the blocklist in Redis is left out: %s", error)
        return None
