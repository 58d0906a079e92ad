"""Instances that register themselves in Redis, and are late when they were not heard of for their time.

A service is one sorted set. A member is an instance, as JSON or `host:port`; its score is the time until which it
counts, by the clock of Redis, or, below zero, the time at which it left. One call reads many services, twice a second,
and transfers only those that have changed.

What Redis says just after it was away, or has lost its data, is what has registered since. For as long as an instance
may take to say that it lives, those that were known stay as they were, unless they say that they leave.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from gateway.context import Context
from gateway.live import Tasks
from gateway.outside.redis_link import REDIS_PLACE, RedisLink, redis_identity, redis_link
from gateway.outside.redis_scripts import Script
from gateway.registry.allowed import PUBLISHED
from gateway.registry.instances import parse_value
from gateway.registry.parsing import parsed
from gateway.registry.source import Instances, Sink, SourceLost
from gateway.upstream.member import Address, Member

ROUND_SECONDS: Final = 0.5
CALL_SECONDS: Final = 2.0
BATCH: Final = 50  # services of a call, so that none keeps Redis busy for long
KEPT_SECONDS: Final = 60  # for which a late instance is shown as late, until it is forgotten
RECOVERY_SECONDS: Final = 10.0  # in which instances register again after Redis was away

_READ: Final = Script(
    """
-- KEYS: the name of what Redis knows (it is lost with the data), and the services.
-- ARGV: a new name, for how many seconds the late are kept, and for each service the digest of what is known of it.
-- Answers the name, and for each service its digest, and where that is another one, its instances between NULs: each
-- with + (it counts), - (it is late) or x (it left) in front. In place of a digest: ! and what is wrong.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local name = redis.pcall('GET', KEYS[1])
if type(name) == 'table' or not name then
  name = ARGV[1]
  redis.call('SET', KEYS[1], name)
end
local answer = {name}
local over = string.format('%.3f', now - ARGV[2])
for i = 2, #KEYS do
  local digest, text = '', ''
  local found = redis.pcall('ZREMRANGEBYSCORE', KEYS[i], '-' .. over, over)
  if type(found) ~= 'table' then found = redis.pcall('ZRANGE', KEYS[i], 0, -1, 'WITHSCORES') end
  if found.err then
    digest = '!' .. found.err
  else
    local instances = {}
    for j = 1, #found, 2 do
      local score = tonumber(found[j + 1])
      local mark = score < 0 and 'x' or (score < now and '-' or '+')
      instances[#instances + 1] = mark .. found[j]
    end
    table.sort(instances)
    text = table.concat(instances, '\\0')
    digest = redis.sha1hex(text)
    if digest == ARGV[i + 1] then text = '' end
  end
  answer[#answer + 1] = digest
  answer[#answer + 1] = text
end
return answer
"""
)


_SAY = Script(
    """
-- KEYS: where it is said to those who register which networks are allowed. ARGV: a service, and its networks, in turn.
for i = 1, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.pcall('HDEL', KEYS[1], ARGV[i])
  else
    redis.pcall('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return 1
"""
)


class RedisRegistry:
    """All services that have registered themselves in one Redis, as far as they are watched."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._watched: dict[RedisSource, None] = {}
        self.tasks = Tasks()

    async def start(self) -> None:
        """Begin to read."""
        self.tasks.supervise("the reading of the registry in Redis", self._read)

    async def stop(self) -> None:
        """Read no more."""
        await self.tasks.end()

    def join(self, source: RedisSource) -> None:
        """Deliver to this source what there is."""
        self._watched[source] = None

    def leave(self, source: RedisSource) -> None:
        """Deliver to it no more."""
        self._watched.pop(source, None)

    async def _read(self) -> None:
        while True:
            sources = list(self._watched)
            for start in range(0, len(sources), BATCH):
                await self._read_some(sources[start : start + BATCH])
            await asyncio.sleep(ROUND_SECONDS)

    async def _say(self, sources: Sequence[RedisSource]) -> None:
        """Publish the allowed networks. Services of one name have the networks of all of them."""
        arguments: list[str | int] = []
        for source in sources:
            texts = [each.networks for each in self._watched if each.service == source.service]
            arguments += [source.service, ",".join(texts) if all(texts) else ""]
        if await self._link.ask(_SAY, [f"{self._link.prefix}{PUBLISHED}"], arguments, CALL_SECONDS) is not None:
            for source in sources:
                source.said = True

    async def _read_some(self, sources: Sequence[RedisSource]) -> None:
        if unsaid := [source for source in sources if not source.said]:
            await self._say(unsaid)
        happened = time.perf_counter()
        prefix = f"{self._link.prefix}registry"
        keys = [prefix, *(f"{prefix}:{source.service}" for source in sources)]
        arguments: list[str | int] = [uuid.uuid4().hex, KEPT_SECONDS, *(source.digest for source in sources)]
        answer: Any = await self._link.ask(_READ, keys, arguments, CALL_SECONDS)
        right = isinstance(answer, list) and len(answer) == 1 + 2 * len(sources)
        if not right or not all(isinstance(item, bytes) for item in answer):
            for source in sources:
                source.lose("Redis does not answer")
            return
        for number, source in enumerate(sources):
            digest, text = answer[1 + 2 * number].decode(errors="replace"), answer[2 + 2 * number]
            if digest.startswith("!"):
                source.lose(f"Redis cannot read it: {digest[1:200]}")
            else:
                await source.take(answer[0], digest, text, happened)


class RedisSource:
    """The instances of one service in Redis. Times are those of time.perf_counter()."""

    def __init__(
        self, registry: RedisRegistry, service: str, recovery: float = RECOVERY_SECONDS, networks: str = ""
    ) -> None:
        self.service = service
        self.networks = networks  # that are allowed, with commas between them; empty: all
        self.said = False  # to those who register
        self.digest = ""  # of what is known
        self._registry = registry
        self._recovery = recovery
        self._lost = False  # which the sink knows
        self._name = b""  # of what Redis knows
        self._known = _Known({}, {}, frozenset())
        self._former: dict[Address, Member] = {}  # while it recovers
        self._recovered_at = 0.0
        self._sink: Sink | None = None  # while it is watched
        self._end: asyncio.Future[str] | None = None

    @property
    def place(self) -> str:
        """The service in Redis."""
        return f"redis {self.service}"

    async def watch(self, sink: Sink) -> None:
        """See `Source`. After it was lost, it waits until it can go on."""
        self._sink, self._end = sink, asyncio.get_running_loop().create_future()
        self.said = False
        self._registry.join(self)
        try:
            raise SourceLost(await self._end)
        finally:
            self._registry.leave(self)
            self._sink = None

    def lose(self, reason: str) -> None:
        """Redis does not say what there is."""
        if self._end is not None and not self._end.done() and not self._lost:
            self._lost = True
            self._end.set_result(reason)

    async def take(self, name: bytes, digest: str, text: bytes, happened: float) -> None:
        """Redis says this. `text` holds only where `digest` is not that of what is known."""
        if self._sink is None:
            return
        self.said = self.said and name == self._name
        if self._lost or (self._name and name != self._name):
            known = {**self._former, **self._known.here}
            self._former = {address: member for address, member in known.items() if not member.late}
            self._recovered_at = happened + self._recovery
        recovered = bool(self._former) and happened >= self._recovered_at
        if recovered:
            self._former = {}
        self._lost, self._name = False, name
        if digest == self.digest and not recovered:
            self._sink.alive()
            return
        if digest != self.digest:
            await self._learn(digest, text)
        if self._sink is not None:
            members = {address: member for address, member in self._former.items() if address not in self._known.left}
            for address, member in self._known.here.items():
                if not (member.late and address in members):
                    members[address] = member
            self._sink.deliver(Instances(list(members.values()), digest[:16], happened))

    async def _learn(self, digest: str, text: bytes) -> None:
        known = await parsed("redis-registry", partial(_parsed, text, self._known.values), len(text))
        for written in known.values.keys() - self._known.values.keys():
            wrong = known.values[written]
            if isinstance(wrong, str) and self._sink is not None:
                self._sink.fault(f"the instance {written.decode(errors='replace')[:100]!r} is left out: {wrong}")
        self._known, self.digest = known, digest


@dataclass(frozen=True, slots=True)
class _Known:
    """The last answer of Redis."""

    values: Mapping[bytes, Member | str]  # by how they are written; what is wrong with those that cannot be used
    here: Mapping[Address, Member]
    left: frozenset[Address]


def _parsed(text: bytes, values: Mapping[bytes, Member | str]) -> _Known:
    """`values`: what is known already."""
    read: dict[bytes, Member | str] = {}
    here: dict[Address, Member] = {}
    left: set[Address] = set()
    for marked in text.split(b"\0") if text else ():
        mark, written = marked[:1], marked[1:]
        read[written] = value = values.get(written) or _value(written)
        if isinstance(value, str):
            continue
        if mark == b"+":
            here[value.address] = value
        elif mark == b"-":  # behind those that count
            here.setdefault(value.address, replace(value, late=True))
        else:
            left.add(value.address)
    return _Known(read, here, frozenset(left))


def _value(written: bytes) -> Member | str:
    try:
        return parse_value(written.decode())
    except ValueError as error:
        return str(error)


# From a configuration.


def redis_registry(context: Context) -> RedisRegistry:
    """The registry in the Redis of middleware.yaml."""
    key = ("registry.redis", *redis_identity(context))
    return context.plan.need(key, lambda: RedisRegistry(redis_link(context)), REDIS_PLACE)
