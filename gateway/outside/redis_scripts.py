"""Scripts in Lua that Redis runs, each in one call, and those by which replicas know of each other."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from typing import Any


class Script:
    """A Lua script, and the hash by which Redis knows it once it has seen it.

    `numbers`: how many whole numbers it answers for so many keys; None where it answers something else. `adds`: it adds
    to what is used, and must not be run by a Redis that has lost its data since it was asked for.
    """

    __slots__ = ("_numbers", "adds", "sha", "text")

    def __init__(self, text: str, numbers: Callable[[int], int] | None = None, *, adds: bool = False) -> None:
        self.text = text
        self.adds = adds
        self._numbers = numbers
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def is_answer(self, answer: Any, keys: int) -> bool:
        """Whether this may be an answer. What is no Redis, or has another script under this hash, says anything."""
        if self._numbers is None:
            return answer is not None
        right = isinstance(answer, list) and len(answer) == self._numbers(keys)
        return right and all(isinstance(number, int) for number in answer)


BEAT = Script(
    """
-- KEYS: the replicas, by when they were last heard of. ARGV: one of them, and for how many seconds one counts.
local now = tonumber(redis.call('TIME')[1])
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local unknown = redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('EXPIRE', KEYS[1], 60)
return {redis.call('ZCARD', KEYS[1]), unknown}
""",
    lambda keys: 2 * keys,
)
"""Says that a replica lives; how many there are, and whether (1) this one was not known."""

WATCH = Script("return {0, 0}", lambda keys: 2 * keys)
"""Finds out whether Redis answers: for what is no replica."""

LEAVE = Script("return redis.call('ZREM', KEYS[1], ARGV[1])")
"""Removes a replica."""
