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
from pathlib import Path
from typing import Final

from gateway.auth.key_files import KeyFiles
from gateway.auth.scheme import AuthResult, Locations, Recognised, Refused
from gateway.config.models import ConsumerConfig
from gateway.config.models.auth.consumers import ApiKeyConfig
from gateway.config.models.auth.schemes import ApiKeyScheme
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.fields import values
from gateway.http.parameters import cookie_values, query_values

Holder = Callable[[ConsumerConfig, str], Recognised]
"""Makes the identity of a consumer who shows a key with this fingerprint."""

MAX_BYTES: Final = 1024  # of a key
FINGERPRINT_BYTES: Final = 6  # of the hash: enough to find the key by, too little to tell anything about it

_NOTHING_MOUNTED: Final[Mapping[bytes, ConsumerConfig]] = {}

TWO_KEYS: Final = Refused("the request carries more than one API key; send one", ErrorKind.AMBIGUOUS_CREDENTIALS)
UNKNOWN: Final = Refused("the API key is not known")
TOO_EARLY: Final = Refused("the API key does not hold yet")
EXPIRED: Final = Refused("the API key has expired")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key: who holds it, and when (seconds since 1970)."""

    holder: Recognised
    not_before: float
    expires: float


class KeyRing:
    """Finds keys by the SHA-256 of them."""

    def __init__(
        self,
        consumers: Iterable[ConsumerConfig],
        holder: Holder,
        files: KeyFiles,
        base: Path,
        mounted: Mapping[bytes, ConsumerConfig] = _NOTHING_MOUNTED,
    ) -> None:
        self._holder = holder
        self._mounted = mounted  # keys of a directory, by their SHA-256
        self._files = files
        self._by_digest: dict[bytes, tuple[ConsumerConfig, ApiKeyConfig]] = {}
        self._by_file: dict[Path, tuple[ConsumerConfig, ApiKeyConfig]] = {}
        self._used: dict[bytes, ApiKey] = {}  # those of _by_digest that came up: to prepare 100,000 takes seconds
        self._found: Mapping[bytes, Path] = {}
        self._from_files: Mapping[bytes, ApiKey] = {}
        for consumer in consumers:
            for key in consumer.keys:
                if key.sha256 is not None:
                    self._by_digest[bytes.fromhex(key.sha256.removeprefix("sha256:"))] = consumer, key
                elif key.file is not None:
                    self._by_file[base / key.file] = consumer, key

    def find(self, digest: bytes) -> ApiKey | None:
        """The key with this SHA-256."""
        key = self._used.get(digest)
        return self._first_use(digest) if key is None else key

    def _first_use(self, digest: bytes) -> ApiKey | None:
        named = self._by_digest.get(digest)
        if named is None and digest in self._mounted:
            named = self._mounted[digest], ApiKeyConfig(hash="sha256:" + digest.hex())
        if named is None:
            return self._in_files().get(digest) if self._by_file else None
        key = self._used[digest] = self._key(*named, digest)
        return key

    def _in_files(self) -> Mapping[bytes, ApiKey]:
        """The same of the keys in files, made again when those have changed."""
        if self._files.found is not self._found:
            self._found = self._files.found
            self._from_files = {
                digest: self._key(*self._by_file[path], digest)
                for digest, path in self._found.items()
                if path in self._by_file
            }
        return self._from_files

    def _key(self, consumer: ConsumerConfig, key: ApiKeyConfig, digest: bytes) -> ApiKey:
        holder = self._holder(consumer, "sha256:" + digest[:FINGERPRINT_BYTES].hex())
        begins = -math.inf if key.not_before is None else key.not_before
        return ApiKey(holder, begins, math.inf if key.expires is None else key.expires)


def holder_of(ring: KeyRing, key: bytes) -> Recognised | Refused:
    """Whose key this is; UNKNOWN where it is in no ring, or why it does not hold."""
    entry = ring.find(sha256(key).digest()) if len(key) <= MAX_BYTES else None
    if entry is None:
        return UNKNOWN
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
        keys = self.shown(exchange)
        if len(keys) != 1:
            return TWO_KEYS if keys else None
        return holder_of(self.ring, keys[0])

    def shown(self, exchange: Exchange) -> list[bytes]:
        """What is in its places, each as often as it is there."""
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


def key_paths(consumers: Iterable[ConsumerConfig], base: Path) -> frozenset[Path]:
    """The files that keys are in."""
    return frozenset(base / key.file for consumer in consumers for key in consumer.keys if key.file is not None)
