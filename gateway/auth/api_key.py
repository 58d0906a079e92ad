"""API keys: a header, a query parameter or a cookie holds a key, of which only the SHA-256 is known here.

A key is looked up by its hash, in a dict. That costs the same for ten keys and for 100,000, and it takes no comparison
in constant time: what the time of a look-up may give away is how a hash relates to the stored ones, and no one can
choose a key by what its SHA-256 begins with. The keys are random and long, so that they cannot be guessed from the
stored hashes, and need neither salt nor stretching.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
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
from gateway.http import Decision, Exchange, Identity
from gateway.http.fields import values
from gateway.http.parameters import cookie_values, query_values

Holder = Callable[[Consumer, str], Recognised]
"""Makes the identity of a consumer who shows a key with this fingerprint."""

Key = ApiKeyConfig | HashedKey
Lines = tuple[tuple[bytes, bytes], ...]

MAX_BYTES: Final = 1024  # of a key
FINGERPRINT_BYTES: Final = 6  # of the hash: enough to identify the key, too little to guess it

_NOTHING_MOUNTED: Final[Mapping[bytes, Consumer]] = {}

UNDECIDED: Final = Decision("", "allow", "")  # what a field must have by default behind those of `Identity`
TWO_KEYS: Final = Refused("the request carries more than one API key; send one", ErrorKind.AMBIGUOUS_CREDENTIALS)
UNKNOWN: Final = Refused("the API key is not known")
TOO_EARLY: Final = Refused("the API key does not hold yet")
EXPIRED: Final = Refused("the API key has expired")


@dataclass(frozen=True, slots=True)
class KeyHolder(Identity):
    """Whose key it is, with what `Recognised` has beside that: in one object, because each of 100,000 takes the time to
    fetch it from memory. With two attributes more it would take half as long again."""

    decision: Decision = UNDECIDED
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
        return Recognised(self, self.lines(), self.decision)

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


class KeyRing:
    """Finds keys by the SHA-256 of them."""

    def __init__(
        self,
        consumers: Iterable[Consumer],
        holder: Holder,
        files: KeyFiles,
        base: Path,
        mounted: Mapping[bytes, Consumer] = _NOTHING_MOUNTED,
    ) -> None:
        self._holder = holder
        self._mounted = mounted  # keys of a directory, by their SHA-256
        self._files = files
        # Whose key it is, or whose only one; once it has come up, prepared: to prepare 100,000 takes seconds.
        self._by_digest: dict[bytes, Consumer | tuple[Consumer, Key] | Known] = {}
        self._by_file: dict[Path, tuple[Consumer, Key]] = {}
        self._index: dict[bytes, bytes] | None = None  # digests by their beginnings, once that is asked for
        self._indexed: Mapping[bytes, Path] = {}  # the keys in files that are in it
        self._found: Mapping[bytes, Path] = {}
        self._from_files: Mapping[bytes, Known] = {}
        for consumer in consumers:
            for key in consumer.keys:
                if (digest := key.digest) is not None:
                    self._by_digest[digest] = consumer if len(consumer.keys) == 1 else (consumer, key)
                elif key.file is not None:
                    self._by_file[base / key.file] = consumer, key

    def find(self, digest: bytes) -> Known | None:
        """The key with this SHA-256."""
        key = self._by_digest.get(digest)
        return key if isinstance(key, KeyHolder) else self._prepared(digest)

    def beginning(self, prefix: bytes) -> Known | None:
        """The key whose SHA-256 begins so, of at least FINGERPRINT_BYTES: for callers with its fingerprint."""
        if self._index is None or self._indexed is not self._files.found:
            self._indexed = self._files.found
            self._index = {
                digest[:FINGERPRINT_BYTES]: digest
                for digests in (self._by_digest, self._mounted, self._in_files())
                for digest in digests
            }
        digest = self._index.get(prefix[:FINGERPRINT_BYTES])
        if digest is None or not compare_digest(digest[: len(prefix)], prefix):
            return None
        return self.find(digest)

    def _prepared(self, digest: bytes) -> Known | None:
        named = self._by_digest.get(digest)
        if isinstance(named, KeyHolder | ApiKey):
            return named
        if named is None and digest in self._mounted:
            named = self._mounted[digest], ApiKeyConfig(hash="sha256:" + digest.hex())
        if named is None:
            return self._in_files().get(digest) if self._by_file else None
        consumer, written = named if isinstance(named, tuple) else (named, named.keys[0])
        key = self._by_digest[digest] = self._key(consumer, written, digest)
        return key

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
        holder = _held(self._holder(consumer, "sha256:" + digest[:FINGERPRINT_BYTES].hex()))
        if key.not_before is None and key.expires is None:
            return holder
        begins = -math.inf if key.not_before is None else key.not_before
        return ApiKey(holder, begins, math.inf if key.expires is None else key.expires)


def _held(found: Recognised) -> KeyHolder:
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
        found.decision,
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
        return _holding(self.ring.find(sha256(key).digest()) if len(key) <= MAX_BYTES else None)

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
