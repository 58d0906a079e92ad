"""The registered instances of one service as a document, and such documents as all gateways of one Redis know them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import orjson

from gateway.live import on_thread
from gateway.outside.redis_link import RedisLink
from gateway.outside.redis_scripts import Script
from gateway.registry.instances import parse_instance, written
from gateway.upstream.member import Member

CALL_SECONDS: Final = 2.0
BATCH: Final = 50  # documents of a call, so that none keeps Redis busy for long
MOST: Final = 10**15  # revisions
LATEST: Final = 1e12  # seconds of the epoch
INLINE: Final = 200  # instances that are read or written at once; more of them on a thread
BYTES: Final = 60  # of a short instance, as it is written

T = TypeVar("T")

# A document is its revision, when it was made, and its instances, with spaces between them.
_PUBLISH: Final = Script(
    """
-- KEYS: the documents by service. ARGV: a service, its new document, the version that it replaces (empty: any older).
-- Answers the document that is there where that is another one, or else nothing. One whose version cannot be one
-- (Lua counts in doubles) is overwritten.
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local known = redis.call('HGET', KEYS[1], ARGV[1])
local revision, made = string.match(known or '', '^(%d+) (%S+) ')
if revision and #revision <= 15 and (tonumber(made) or -1) >= 0 and tonumber(made) < 1e12 then
  local new, at = string.match(ARGV[2], '^(%d+) (%S+) ')
  local older = tonumber(revision) < tonumber(new) or (revision == new and tonumber(made) < tonumber(at))
  if not older or (ARGV[3] ~= '' and ARGV[3] ~= revision .. ' ' .. made) then return known end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return ''
"""
)
_PULL: Final = Script(
    """
-- KEYS: the same. ARGV: services, each with the version that is known. Answers their documents: '=' where it is known.
local answer = {}
for i = 1, #ARGV, 2 do
  local found = redis.pcall('HGET', KEYS[1], ARGV[i])
  if type(found) ~= 'string' then found = '' end
  if string.match(found, '^%d+ %S+') == ARGV[i + 1] then found = '=' end
  answer[#answer + 1] = found
end
return answer
"""
)


@dataclass(frozen=True, slots=True)
class Document:
    """All instances of one service."""

    revision: int
    changed: float  # seconds of the epoch
    members: tuple[Member, ...]
    happened: float | None = None  # time.perf_counter(), when this process heard of it

    @property
    def version(self) -> tuple[int, float]:
        """The higher one counts."""
        return self.revision, self.changed

    @property
    def name(self) -> str:
        """The version as a text."""
        return f"{self.revision} {self.changed!r}"

    def text(self) -> str:
        """The document as it is stored and shared."""
        return f"{self.name} {orjson.dumps([written(member) for member in self.members]).decode()}"

    @staticmethod
    def parse(text: str) -> Document:
        """Raises ValueError."""
        revision, changed, listed = text.split(" ", 2)
        if not (0 < int(revision[:16]) < MOST and 0.0 <= float(changed) < LATEST):
            raise ValueError("it has no version")
        instances = orjson.loads(listed)
        if not isinstance(instances, list):
            raise ValueError("it has no list of instances")
        return Document(int(revision), float(changed), tuple(map(parse_instance, instances)))


UNKNOWN: Final = Document(0, 0.0, ())


class SharedDocuments:
    """Those in Redis."""

    def __init__(self, link: RedisLink) -> None:
        self.available = True  # False from a failure until it works again
        self._link = link
        self._key = f"{link.prefix}registered"

    async def publish(self, service: str, made: Document, replaced: Document | None) -> tuple[bool, Document | None]:
        """Put a document in place of another one, or of any older one (None).

        Answers whether that was done, and what is there instead where it was not. Neither: Redis is away.
        """
        before = "" if replaced is None else replaced.name
        text = await _inline_or_not(made.text, long=len(made.members) > INLINE)
        answer = await self._ask(_PUBLISH, [service, text, before])
        if not isinstance(answer, bytes):
            return False, None
        return not answer, await _parsed(answer)

    async def pull(self, known: Mapping[str, Document]) -> dict[str, Document] | None:
        """The document in place of the known one; UNKNOWN: none. None: Redis is unavailable."""
        found: dict[str, Document] = {}
        names = list(known)
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            answer = await self._ask(_PULL, [text for name in some for text in (name, known[name].name)])
            if not isinstance(answer, list) or len(answer) != len(some):
                return None
            for name, text in zip(some, answer, strict=True):
                if text != b"=":
                    found[name] = await _parsed(text) or UNKNOWN
        return found

    async def _ask(self, script: Script, arguments: Sequence[str]) -> Any:
        answer = await self._link.ask(script, [self._key], arguments, CALL_SECONDS)
        self.available = answer is not None
        return answer


async def _parsed(text: Any) -> Document | None:
    if not isinstance(text, bytes):
        return None
    return await _inline_or_not(partial(_document, text), long=len(text) > INLINE * BYTES)


def _document(text: bytes) -> Document | None:
    try:
        return Document.parse(text.decode())
    except ValueError:
        return None


async def _inline_or_not(work: Callable[[], T], *, long: bool) -> T:
    """Do it here, or where it holds nothing up."""
    return await on_thread("registered", work) if long else work()
