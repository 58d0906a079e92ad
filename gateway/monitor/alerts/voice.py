"""One voice among gateways that share a Redis: a lease says whose it is, and all know what was said.

Each gateway sees what lives in itself only (breakers, ejections, logs), and shares that with the others, with
silences and what it counts for objectives. Where Redis does not answer, each one speaks: rather two voices than none.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from gateway.monitor.alerts.objectives import SeriesKey
from gateway.monitor.alerts.sight import Finding, Subject
from gateway.monitor.alerts.silences import MOST as MOST_SILENCES
from gateway.monitor.alerts.silences import Silence, from_fields
from gateway.outside.redis_link import RedisLink
from gateway.outside.redis_scripts import Script

logger = logging.getLogger("gateway.alerts")

CALL_SECONDS: Final = 2.0
LEASE_SECONDS: Final = 25  # two looks, and a half
MOST_FINDINGS: Final = 500  # that one gateway shares
MOST_BYTES: Final = 1024**2  # of what one gateway shares, and of what was said

_KEYS: Final = ("voice", "spoken", "seen", "silences")
_TURN: Final = Script(
    """
-- KEYS: whose voice it is; what was said; what each gateway sees; silences. ARGV: a gateway, seconds of its lease or 0
-- where it wants none, what it has said, what it sees, how many silences there may be, then silences: id, time of the
-- change, end, text. Answers whether it has the voice, what was said, then pairs of gateways and what they see, '' and
-- the silences.
local now = tonumber(redis.call('TIME')[1])
local holder = redis.call('GET', KEYS[1])
local has = ARGV[2] ~= '0' and (not holder or holder == ARGV[1])
if has then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
local spoken = redis.call('GET', KEYS[2]) or ''
if has and ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3], 'EX', 172800) end
redis.call('HSET', KEYS[3], ARGV[1], now .. ' ' .. ARGV[4])
redis.call('EXPIRE', KEYS[3], 300)
local silences = redis.call('HGETALL', KEYS[4])
local changed, count = {}, #silences / 2
for i = 1, #silences, 2 do
  local at, ends = string.match(silences[i + 1], '^(%S+) (%S+) ')
  if at and tonumber(ends) + 3600 > now then
    changed[silences[i]] = tonumber(at)
  else
    redis.call('HDEL', KEYS[4], silences[i])
    count = count - 1
  end
end
for i = 6, #ARGV, 4 do
  local known = changed[ARGV[i]]
  if known and known < tonumber(ARGV[i + 1]) or not known and count < tonumber(ARGV[5]) then
    redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2] .. ' ' .. ARGV[i + 3])
    if not known then count = count + 1 end
  end
end
local answer = {has and '1' or '0', spoken}
local seen = redis.call('HGETALL', KEYS[3])
for i = 1, #seen, 2 do
  local at, text = string.match(seen[i + 1], '^(%d+) (.*)$')
  if not at or now - tonumber(at) > 60 then
    redis.call('HDEL', KEYS[3], seen[i])
  elseif seen[i] ~= ARGV[1] and now - tonumber(at) <= 30 then
    answer[#answer + 1] = seen[i]
    answer[#answer + 1] = text
  end
end
answer[#answer + 1] = ''
for _, text in ipairs(redis.call('HVALS', KEYS[4])) do
  answer[#answer + 1] = string.match(text, '^%S+ %S+ (.*)$') or ''
end
return answer
"""
)

Counts = Mapping[SeriesKey, tuple[int, int]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heard:
    """The result of one turn."""

    speaks: bool  # whether this gateway sends to people
    spoken: bytes = b""  # what was said before this turn, as JSON; empty where nothing was, or that is not known
    findings: Sequence[Finding] = ()  # of the others
    silences: Sequence[Silence] = ()
    counts: Mapping[str, Counts] | None = None  # of the others; None: not known


class Voice:
    """The part of one gateway in it."""

    def __init__(self, link: RedisLink, *, mute: bool = False) -> None:
        """`mute`: it shares what it sees, but never has the voice."""
        self.answers = True
        self._mute = mute
        self.link = link
        self._id = uuid.uuid4().hex
        self._keys = [f"{link.prefix}alerts:{name}" for name in _KEYS]

    async def turn(
        self, spoken: bytes, findings: Sequence[Finding], counts: Counts, silences: Iterable[Silence]
    ) -> Heard:
        """Announce that this gateway is alive, and read the others. `spoken`: the state, if this gateway sends."""
        said = spoken.decode() if len(spoken) <= MOST_BYTES else ""
        lease = 0 if self._mute else LEASE_SECONDS
        shown = [[each.builtin, *each.subject, each.says] for each in findings[:MOST_FINDINGS]]
        counted = [[*key, *count] for key, count in counts.items()]
        whole = json.dumps({"findings": shown, "counts": counted})
        arguments: list[str | int] = [
            self._id,
            lease,
            said,
            (whole if len(whole) <= MOST_BYTES else json.dumps({"findings": shown[:50], "counts": []})),
            MOST_SILENCES,
        ]
        for each in silences:
            arguments += [each.id, repr(each.changed), repr(each.until), json.dumps(asdict(each))]
        answer = await self.link.ask(_TURN, self._keys, arguments, CALL_SECONDS)
        answers = isinstance(answer, list) and all(isinstance(item, bytes) for item in answer) and b"" in answer[2:]
        if answers != self.answers:
            self.answers = answers
            logger.warning("%s", "; ".join(self.troubles()) or "gateways hear each other about alerts again")
        return _heard(answer) if answers else Heard(speaks=not self._mute)

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self.answers:
            return
        why = "because Redis does not answer as it should"
        if self._mute:
            yield f"what this gateway sees does not reach those that send alerts, {why}"
        else:
            yield f"alerts may come from each gateway, and not from one for all, {why}"


def _heard(answer: Sequence[bytes]) -> Heard:
    end = answer.index(b"", 2)
    findings: list[Finding] = []
    counts: dict[str, Counts] = {}
    for gateway, text in zip(answer[2:end:2], answer[3:end:2], strict=False):
        seen = _understood(text, _sight_of)
        if seen is not None:
            findings += seen[0]
            counts[gateway.decode("ascii", "replace")] = seen[1]
    silences = [each for text in answer[end + 1 :] if (each := _understood(text, from_fields)) is not None]
    return Heard(answer[0] == b"1", bytes(answer[1]), findings, silences, counts)


def _sight_of(seen: Any) -> tuple[list[Finding], Counts]:
    findings = [
        Finding(str(builtin), Subject(str(kind), str(name)), str(says))
        for builtin, kind, name, says in seen["findings"]
    ]
    counts = {
        SeriesKey(str(rule), str(good), str(route)): (int(goods), int(total))
        for rule, good, route, goods, total in seen["counts"]
    }
    return findings, counts


def _understood(text: bytes, parse: Callable[[Any], T]) -> T | None:
    """The state of another gateway; None if its format is unknown."""
    try:
        return parse(json.loads(text))
    except (ValueError, TypeError, LookupError):
        return None
