"""API keys: a header, a query parameter or a cookie holds a key, of which only the SHA-256 is known here.

A key is looked up by its hash. That costs nearly the same for ten keys and for 100,000, and it takes no comparison in
constant time: what the time of a look-up may give away is how a hash relates to the stored ones, and no one can choose
a key by what its SHA-256 begins with. The keys are random and long, so that they cannot be guessed from the
stored hashes, and need neither salt nor stretching.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

from gateway.auth.key_files import KeyFiles
from gateway.auth.scheme import AuthResult, Locations, Recognised, Refused
from gateway.config.models import Consumer
from gateway.config.models.auth.consumers import ApiKeyConfig
from gateway.config.models.auth.plain_consumers import HashedKey
from gateway.config.models.auth.schemes import ApiKeyScheme
from gateway.errors import ErrorKind
from gateway.http import Exchange, Identity
from gateway.http.fields import values
from gateway.http.parameters import cookie_values, query_values

Holder = Callable[[Consumer, str], Recognised]
"""Makes the identity of a consumer who shows a key with this fingerprint."""

Key = ApiKeyConfig | HashedKey
Lines = tuple[tuple[bytes, bytes], ...]

MAX_BYTES: Final = 1024  # of a key
FINGERPRINT_BYTES: Final = 6  # of the hash: enough to identify the key, too little to guess it

_NOTHING_MOUNTED: Final[Mapping[bytes, Consumer]] = {}

TWO_KEYS: Final = Refused("the request carries more than one API key; send one", ErrorKind.AMBIGUOUS_CREDENTIALS)
UNKNOWN: Final = Refused("the API key is not known")
TOO_EARLY: Final = Refused("the API key does not hold yet")
EXPIRED: Final = Refused("the API key has expired")


@dataclass(frozen=True, slots=True)
class KeyHolder(Identity):
    """Whose key it is, with what `Recognised` has beside that: in one object, because each of 100,000 takes the time to
    fetch it from memory. With two attributes more it would take half as long again."""

    digest: bytes = b""  # the SHA-256 of the key
    headers: Lines | bytes = b""  # for the backend; bytes: the name of the only one, whose value is the consumer's
    # Where a limit has counted this caller last, and the era of its table in which that is its slot: see `Table`.
    slot: Any = field(default=None, compare=False, repr=False)
    era: Any = field(default=None, compare=False, repr=False)

    def lines(self) -> Lines:
        """The headers for the backend. Making them takes less time than fetching them."""
        headers = self.headers
        return ((headers, self.consumer.encode()),) if isinstance(headers, bytes) else headers

    def recognised(self) -> Recognised:
        """In the form of all other schemes."""
        return Recognised(self, self.lines())

    def remember(self, slot: object, era: object) -> None:
        """Be counted there, without a look-up, as long as this era lasts."""
        object.__setattr__(self, "slot", slot)
        object.__setattr__(self, "era", era)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key that holds for a time only: who holds it, and when (seconds since 1970)."""

    holder: KeyHolder
    not_before: float
    expires: float


Known = KeyHolder | ApiKey
"""A key: its holder alone where it always holds, as most do."""

Unprepared = Consumer | tuple[Consumer, Key]
"""Whose key it is, or whose only one. It is prepared once it has come up: to prepare 100,000 takes seconds."""


class KeyRing:
    """Finds keys by the SHA-256 of them.

    In a list, in which a hash says itself where its key stands, or behind which others, because its bits are as good as
    random. What counts is how often a look-up among many waits for memory: here twice, in a dict three times.
    """

    def __init__(
        self,
        consumers: Collection[Consumer],
        holder: Holder,
        files: KeyFiles,
        base: Path,
        mounted: Mapping[bytes, Consumer] = _NOTHING_MOUNTED,  # keys of a directory, by their SHA-256
    ) -> None:
        self._holder = holder
        self._files = files
        most = len(mounted) + sum([len(consumer.keys) for consumer in consumers])
        self._last = (1 << (2 * most).bit_length()) - 1  # of the places, of which half are free at least
        self._places: list[Unprepared | Known | None] = [None] * (self._last + 1)
        self._by_file: dict[Path, tuple[Consumer, Key]] = {}
        self._found: Mapping[bytes, Path] = {}
        self._from_files: Mapping[bytes, Known] = {}
        for digest, consumer in mounted.items():
            self._places[self._place(digest)] = consumer, HashedKey(digest, None, None)
        for consumer in consumers:
            for key in consumer.keys:
                if (known := key.digest) is not None:
                    self._places[self._place(known)] = consumer if len(consumer.keys) == 1 else (consumer, key)
                elif key.file is not None:
                    self._by_file[base / key.file] = consumer, key

    def find(self, digest: bytes) -> Known | None:
        """The key with this SHA-256."""
        place = self._place(digest)
        key = self._places[place]
        if isinstance(key, KeyHolder):
            return key
        if key is None:
            return self._in_files().get(digest) if self._by_file else None
        return self._prepared(place, key)

    def beginning(self, prefix: bytes) -> Known | None:
        """The key whose SHA-256 begins so, of at least FINGERPRINT_BYTES: for callers with its fingerprint."""
        place = int.from_bytes(prefix[:4], "little") & self._last  # where `_place` begins
        while (key := self._places[place]) is not None:
            if compare_digest(_digest(key)[: len(prefix)], prefix):
                return self._prepared(place, key)
            place = (place + 1) & self._last
        in_files = self._in_files()
        return next((in_files[digest] for digest in in_files if compare_digest(digest[: len(prefix)], prefix)), None)

    def _place(self, digest: bytes) -> int:
        """Where the key with this SHA-256 stands, or would."""
        places, last = self._places, self._last
        place = (digest[0] | digest[1] << 8 | digest[2] << 16 | digest[3] << 24) & last
        while (key := places[place]) is not None:
            if (key.digest if isinstance(key, KeyHolder) else _digest(key)) == digest:
                break
            place = (place + 1) & last
        return place

    def _prepared(self, place: int, key: Unprepared | Known) -> Known:
        if isinstance(key, KeyHolder | ApiKey):
            return key
        consumer, written = key if isinstance(key, tuple) else (key, key.keys[0])
        prepared = self._places[place] = self._key(consumer, written, _digest(key))
        return prepared

    def _in_files(self) -> Mapping[bytes, Known]:
        """The same of the keys in files, made again when those have changed."""
        if self._files.found is not self._found:
            self._found = self._files.found
            self._from_files = {
                digest: self._key(*self._by_file[path], digest)
                for digest, path in self._found.items()
                if path in self._by_file
            }
        return self._from_files

    def _key(self, consumer: Consumer, key: Key, digest: bytes) -> Known:
        holder = _held(self._holder(consumer, "sha256:" + digest[:FINGERPRINT_BYTES].hex()), digest)
        if key.not_before is None and key.expires is None:
            return holder
        begins = -math.inf if key.not_before is None else key.not_before
        return ApiKey(holder, begins, math.inf if key.expires is None else key.expires)


def _digest(key: Unprepared | Known) -> bytes:
    """Its SHA-256."""
    if isinstance(key, KeyHolder):
        return key.digest
    if isinstance(key, ApiKey):
        return key.holder.digest
    written: Key = key[1] if isinstance(key, tuple) else key.keys[0]
    digest = written.digest
    assert digest is not None  # those without are in files
    return digest


def _held(found: Recognised, digest: bytes) -> KeyHolder:
    who, headers = found.identity, found.headers
    usual = len(headers) == 1 and headers[0][1] == who.consumer.encode("utf-8", "replace")
    return KeyHolder(
        who.consumer,
        who.scheme,
        who.tenant,
        who.groups,
        who.scopes,
        who.claims,
        who.fingerprint,
        digest,
        headers[0][0] if usual else headers,
    )


def holder_of(ring: KeyRing, key: bytes) -> Recognised | Refused:
    """Whose key this is; UNKNOWN where it is in no ring, or why it does not hold."""
    return _recognised(_holding(ring.find(sha256(key).digest()) if len(key) <= MAX_BYTES else None))


def holder_of_fingerprint(ring: KeyRing, prefix: bytes) -> Recognised | Refused:
    """The same of a key of which only the beginning of its SHA-256 is known."""
    return _recognised(_holding(ring.beginning(prefix)))


def _recognised(found: KeyHolder | Refused) -> Recognised | Refused:
    return found.recognised() if isinstance(found, KeyHolder) else found


def _holding(entry: Known | None) -> KeyHolder | Refused:
    """Its holder, if it holds."""
    if entry is None:
        return UNKNOWN
    if isinstance(entry, KeyHolder):
        return entry
    now = time.time()
    if now >= entry.expires:
        return replace(EXPIRED, consumer=entry.holder.consumer)
    if now < entry.not_before:
        return replace(TOO_EARLY, consumer=entry.holder.consumer)
    return entry.holder


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The scheme of kind `api_key`."""

    name: str
    ring: KeyRing
    locations: Locations
    header: bytes | None
    query: str | None
    cookie: bytes | None
    realm: str
    forward: bool

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """Whose key it is, if there is one."""
        found = self.holder(exchange)
        return None if found is None else _recognised(found)

    def holder(self, exchange: Exchange) -> KeyHolder | Refused | None:
        """The same, which waits for nothing."""
        keys = self.shown(exchange)
        if len(keys) != 1:
            return TWO_KEYS if keys else None
        key = keys[0]
        found = self.ring.find(sha256(key).digest()) if len(key) <= MAX_BYTES else None
        return found if isinstance(found, KeyHolder) else _holding(found)

    def shown(self, exchange: Exchange) -> list[bytes]:
        """The values in its places, with repetitions."""
        keys: list[bytes] = []
        fields, headers = exchange.fields, exchange.headers
        if self.header is not None and self.header in fields:
            keys = [fields[self.header]] if len(fields) == len(headers) else values(headers, self.header)
        if self.query is not None and exchange.query:
            keys += query_values(exchange.query, self.query)
        if self.cookie is not None:
            keys += cookie_values(headers, fields, self.cookie)
        return keys

    def challenge(self, refused: Refused | None) -> bytes:
        """There is no registered scheme for API keys: this one says where a key belongs."""
        named = (("header", self.header), ("query", self.query), ("cookie", self.cookie))
        places = "".join(
            f', {place}="{name.decode() if isinstance(name, bytes) else name}"' for place, name in named if name
        )
        return f'ApiKey realm="{self.realm}"{places}'.encode("ascii", "replace")


def api_keys(name: str, config: ApiKeyScheme, ring: KeyRing) -> ApiKeys:
    """The scheme that auth.yaml describes."""
    header = config.header.encode() if config.header else None
    cookie = config.cookie.encode() if config.cookie else None
    locations = Locations(
        frozenset({header.replace(b"_", b"-")} if header else ()),
        frozenset({config.query.encode()} if config.query else ()),
        frozenset({cookie} if cookie else ()),
    )
    return ApiKeys(name, ring, locations, header, config.query, cookie, config.realm, config.forward)


def key_paths(consumers: Iterable[Consumer], base: Path) -> frozenset[Path]:
    """The files that keys are in."""
    return frozenset(base / key.file for consumer in consumers for key in consumer.keys if key.file is not None)
