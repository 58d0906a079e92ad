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
from dataclasses import dataclass, replace
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final

from gateway.auth.key_files import KeyFiles
from gateway.auth.scheme import AuthResult, Locations, Recognised, Refused
from gateway.config.models import Consumer
from gateway.config.models.auth.consumers import ApiKeyConfig
from gateway.config.models.auth.plain_consumers import HashedKey
from gateway.config.models.auth.schemes import ApiKeyScheme
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.fields import values
from gateway.http.parameters import cookie_values, query_values

Holder = Callable[[Consumer, str], Recognised]
"""Makes the identity of a consumer who shows a key with this fingerprint."""

Key = ApiKeyConfig | HashedKey

MAX_BYTES: Final = 1024  # of a key
FINGERPRINT_BYTES: Final = 6  # of the hash: enough to identify the key, too little to guess it

_NOTHING_MOUNTED: Final[Mapping[bytes, Consumer]] = {}

TWO_KEYS: Final = Refused("the request carries more than one API key; send one", ErrorKind.AMBIGUOUS_CREDENTIALS)
UNKNOWN: Final = Refused("the API key is not known")
TOO_EARLY: Final = Refused("the API key does not hold yet")
EXPIRED: Final = Refused("the API key has expired")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key that holds for a time only: who holds it, and when (seconds since 1970)."""

    holder: Recognised
    not_before: float
    expires: float


Known = Recognised | ApiKey
"""A key: its holder alone where it always holds, as most do. Of 100,000, every object takes the time to fetch it."""


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
        self._by_digest: dict[bytes, Consumer | tuple[Consumer, Key]] = {}  # or whose only key it is
        self._by_file: dict[Path, tuple[Consumer, Key]] = {}
        self._used: dict[bytes, Known] = {}  # those of _by_digest that came up: to prepare 100,000 takes seconds
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
        key = self._used.get(digest)
        return self._first_use(digest) if key is None else key

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

    def _first_use(self, digest: bytes) -> Known | None:
        named = self._by_digest.get(digest)
        if named is None and digest in self._mounted:
            named = self._mounted[digest], ApiKeyConfig(hash="sha256:" + digest.hex())
        if named is None:
            return self._in_files().get(digest) if self._by_file else None
        consumer, written = named if isinstance(named, tuple) else (named, named.keys[0])
        key = self._used[digest] = self._key(consumer, written, digest)
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
        holder = self._holder(consumer, "sha256:" + digest[:FINGERPRINT_BYTES].hex())
        if key.not_before is None and key.expires is None:
            return holder
        begins = -math.inf if key.not_before is None else key.not_before
        return ApiKey(holder, begins, math.inf if key.expires is None else key.expires)


def holder_of(ring: KeyRing, key: bytes) -> Recognised | Refused:
    """Whose key this is; UNKNOWN where it is in no ring, or why it does not hold."""
    return _holding(ring.find(sha256(key).digest()) if len(key) <= MAX_BYTES else None)


def holder_of_fingerprint(ring: KeyRing, prefix: bytes) -> Recognised | Refused:
    """The same of a key of which only the beginning of its SHA-256 is known."""
    return _holding(ring.beginning(prefix))


def _holding(entry: Known | None) -> Recognised | Refused:
    if entry is None:
        return UNKNOWN
    if isinstance(entry, Recognised):
        return entry
    now = time.time()
    if now >= entry.expires:
        return replace(EXPIRED, consumer=entry.holder.identity.consumer)
    if now < entry.not_before:
        return replace(TOO_EARLY, consumer=entry.holder.identity.consumer)
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
        return self.recognise(exchange)

    def recognise(self, exchange: Exchange) -> AuthResult:
        """The same, which waits for nothing."""
        keys = self.shown(exchange)
        if len(keys) != 1:
            return TWO_KEYS if keys else None
        return holder_of(self.ring, keys[0])

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
