"""API keys: a header, a query parameter or a cookie holds a key, of which only the SHA-256 is known here.

A key is looked up by its hash, in a dict. That costs the same for ten keys and for 100,000, and it takes no comparison
in constant time: what the time of a look-up may give away is how a hash relates to the stored ones, and no one can
choose a key by what its SHA-256 begins with. The keys are random and long, so that they cannot be guessed from the
stored hashes, and need neither salt nor stretching.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from gateway.auth.key_ring import KeyRing
from gateway.auth.scheme import AuthResult, Locations, Refused
from gateway.config.models.auth.schemes import ApiKeyScheme
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.fields import values
from gateway.http.parameters import cookie_values, query_values

MAX_BYTES: Final = 1024  # of a key

TWO_KEYS: Final = Refused("the request carries more than one API key; send one", ErrorKind.AMBIGUOUS_CREDENTIALS)
UNKNOWN: Final = Refused("the API key is not known")
TOO_EARLY: Final = Refused("the API key does not hold yet")
EXPIRED: Final = Refused("the API key has expired")


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
        keys = self._presented(exchange)
        if not keys:
            return None
        if len(keys) > 1:
            return TWO_KEYS
        return self._holder(keys[0])

    def _presented(self, exchange: Exchange) -> list[bytes]:
        keys: list[bytes] = []
        fields, headers = exchange.fields, exchange.headers
        if self.header is not None and self.header in fields:
            keys = [fields[self.header]] if len(fields) == len(headers) else values(headers, self.header)
        if self.query is not None and exchange.query:
            keys += query_values(exchange.query, self.query)
        if self.cookie is not None:
            keys += cookie_values(headers, fields, self.cookie)
        return keys

    def _holder(self, key: bytes) -> AuthResult:
        entry = self.ring.find(sha256(key).digest()) if len(key) <= MAX_BYTES else None
        if entry is None:
            return UNKNOWN
        now = time.time()
        if now >= entry.expires:
            return replace(EXPIRED, consumer=entry.holder.identity.consumer)
        if now < entry.not_before:
            return TOO_EARLY
        return entry.holder

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
