"""A store in Redis, which several gateways share. It is bounded in bytes, and what ends soonest goes first.

For each resource and selector there is a hash, with one field for each variant; a sorted set of all of them, by when
they end, and their sizes, from which the total is known. Ages go by the clock of Redis, which is one for all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import astuple
from hashlib import blake2b
from typing import Any, Final

import orjson

from gateway.algorithms.byte_cache import ByteCache
from gateway.algorithms.http_cache.terms import Terms
from gateway.cache.scripts import DROP, FIND, KEEP, LIST, REMOVE
from gateway.cache.store import MOST_VARIANTS, Key, Purge, Stored, VariantOf
from gateway.outside.redis_link import RedisLink

KEEP_SECONDS: Final = 1.0  # for Redis to take a response; no request waits for that
REMEMBERED_BYTES: Final = 1024 * 1024  # of what Vary said last, by key
LISTED_AT_ONCE: Final = 500


class RedisStore:
    """At most `size` bytes in this Redis."""

    local = False

    def __init__(self, link: RedisLink, size: int) -> None:
        self.size = size
        self._link = link
        self._evicted = 0
        self._total = 0
        self._vary: ByteCache[str, tuple[bytes, ...]] = ByteCache(REMEMBERED_BYTES)

    def now(self) -> float:
        return time.monotonic()

    def resize(self, size: int) -> None:
        """Keep at most so much from now on."""
        self.size = size

    def peek(self, key: Key, variant_of: VariantOf) -> Stored | None:
        return None

    async def find(self, key: Key, variant_of: VariantOf) -> Stored | None:
        name = _digest(key.resource, key.selector)
        expected = self._vary.get(name) or ()
        answer = await self._find(name, variant_of(expected))
        if answer is None:
            return None
        vary = tuple(answer[0].split())
        if vary != expected:  # another gateway, or a former one, stored it
            self._vary.put(name, vary)
            answer = await self._find(name, variant_of(vary))
        if answer is None or answer[1] is None:
            return None
        _, value, now = answer
        at, _, packed = value.partition(b" ")
        return unpack(packed, time.monotonic() - max(0, now - int(at)) / 1000) if at.isdigit() else None

    async def _find(self, name: str, variant: bytes) -> Any:
        return await self._link.ask(FIND, [self._name("e", name)], [variant.hex()])

    async def keep(self, key: Key, stored: Stored, seconds: float) -> bool:
        name = _digest(key.resource, key.selector)
        self._vary.put(name, stored.vary)
        keys = [self._name("e", name), self._name("r", _digest(key.resource)), *self._index()]
        arguments: list[str | int | bytes] = [
            stored.variant.hex(),
            pack(stored),
            b" ".join(stored.vary),
            int(seconds * 1000) + 1,
            self.size,
            MOST_VARIANTS,
            key.resource.encode("latin-1", "replace"),
            key.selector.encode("latin-1", "replace"),
            self._name("e", ""),
            name,
        ]
        answer = await self._link.ask(KEEP, keys, arguments, KEEP_SECONDS)
        if answer is not None:
            self._total, evicted = answer
            self._evicted += evicted
        return answer is not None

    async def drop(self, resource: str) -> None:
        keys = [self._name("r", _digest(resource)), *self._index()]
        await self._link.ask(DROP, keys, [self._name("e", "")])  # for which the request waits that changed it

    async def purge(self, purge: Purge) -> int | None:
        purged, start, prefix = 0, 0, self._name("e", "")
        while True:
            found = await self._link.ask(LIST, self._index(), [prefix, start, LISTED_AT_ONCE], KEEP_SECONDS)
            if not found:
                return None if found is None else purged
            meant = [name for name, resource, selector in found if _is_meant(purge, resource, selector)]
            start += len(found) - len(meant)
            if meant:
                removed = await self._link.ask(REMOVE, self._index(), [prefix, *meant], KEEP_SECONDS)
                if removed is None:
                    return None
                purged += removed[0]

    def measures(self) -> Mapping[str, float]:
        return {"gateway_cache_bytes": self._total, "gateway_cache_evicted_total": self._evicted}

    def _name(self, kind: str, name: str) -> str:
        return f"{self._link.prefix}cache:{kind}:{name}"

    def _index(self) -> list[str]:
        return [self._name("ends", ""), self._name("sizes", ""), self._name("total", "")]


def _is_meant(purge: Purge, resource: bytes | None, selector: bytes | None) -> bool:
    """Whether a purge selects an entry. Expired ones are removed meanwhile."""
    if resource is None or selector is None:
        return True
    return purge.fits(resource.decode("latin-1")) and purge.fits_route(selector.decode("latin-1"))


def _digest(*texts: str) -> str:
    return blake2b("\0".join(texts).encode("latin-1", "backslashreplace"), digest_size=16).hexdigest()


FORMAT = 1


def pack(stored: Stored) -> bytes:
    """All of it but `at`, which the store knows."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in stored.headers]
    vary = [name.decode("latin-1") for name in stored.vary]
    head = (FORMAT, stored.status, stored.initial_age, stored.variant.hex(), vary, headers, astuple(stored.terms))
    return orjson.dumps(head) + b"\n" + stored.body


def unpack(data: bytes, at: float) -> Stored | None:
    """The unpacked value. None if it has another format, such as that of another version of the gateway."""
    head, _, body = data.partition(b"\n")
    try:
        version, status, initial_age, variant, vary, headers, terms = orjson.loads(head)
        if version != FORMAT:
            return None
        lines = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
        names = tuple(name.encode("latin-1") for name in vary)
        made = Stored(status, lines, body, initial_age, at, names, bytes.fromhex(variant), Terms(*terms))
    except (ValueError, TypeError, AttributeError):
        return None
    return made
