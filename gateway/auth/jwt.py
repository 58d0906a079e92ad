"""JSON Web Tokens as bearer tokens (RFC 6750, RFC 7519, RFC 8725).

A token that was verified is remembered until it expires, or its issuer's keys change.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from gateway.algorithms.byte_cache import ByteCache
from gateway.auth import claims as reading
from gateway.auth import token as tokens
from gateway.auth.claims import ClaimRules
from gateway.auth.key_set import UNKNOWN_KEY, KeySet, KeySource
from gateway.auth.scheme import AuthResult, Recognised, Refused
from gateway.auth.subjects import SubjectMapper
from gateway.auth.token import Token, TokenError, TokenTimeError
from gateway.auth.token_locations import AUTHORIZATION, BEARER, TokenLocations
from gateway.auth.token_times import TokenTimes
from gateway.config.models.auth.scheme_keys import Claims as ClaimNames
from gateway.errors import ErrorKind
from gateway.http import Exchange

REMEMBERED = 16 * 1024**2  # bytes of what was verified; some 4,000 tokens of the usual size

NOT_MINE = Refused("the token is of an issuer that is not known", final=False)
WRONG_ALGORITHM = Refused("the token is signed with an algorithm that is not allowed")
WRONG_SIGNATURE = Refused("the token's signature is wrong")


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer whose tokens are accepted, and what they must be like."""

    algorithms: frozenset[str]
    keys: KeySource
    rules: ClaimRules
    claims: ClaimNames


@dataclass(frozen=True, slots=True)
class _Verified:
    bearer: Recognised
    until: float  # seconds since 1970: when the token expires, or its keys cease to hold
    keys: KeySource
    version: int  # of the keys


class Jwt:
    """The scheme of kind `jwt`."""

    def __init__(
        self,
        name: str,
        issuers: Mapping[str, Issuer],
        subjects: SubjectMapper,
        realm: str,
        times: TokenTimes,
        *,
        forward: bool,
        locations: TokenLocations = AUTHORIZATION,
    ) -> None:
        self.name = name
        self.locations = locations.locations | BEARER
        self._token_locations = locations
        self.forward = forward
        self._issuers = issuers
        self._subjects = subjects
        self._realm = realm
        self._times = times
        self._verified: ByteCache[bytes, _Verified] = ByteCache(REMEMBERED)  # by the SHA-256 of the token

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """Whose token it is."""
        value = self._token_locations.find(exchange)
        if not isinstance(value, bytes):
            return value
        known = self._verified.get(sha256(value).digest())
        if known is not None and time.time() < known.until and known.version == known.keys.version:
            return known.bearer
        try:
            return await self._verify(value, dry_run)
        except TokenError as error:
            return Refused(str(error))

    async def _verify(self, value: bytes, dry_run: bool) -> AuthResult:
        try:
            token = tokens.parse(value)
        except TokenError as error:
            return Refused(str(error), final=False)
        name = token.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            return NOT_MINE
        if token.algorithm not in issuer.algorithms:
            return WRONG_ALGORITHM
        keys = await issuer.keys.keys_for(token.kid, token.algorithm, dry_run=dry_run)
        if isinstance(keys, Refused):
            return keys
        refused = _check_signature(token, keys)
        if refused is WRONG_SIGNATURE and not dry_run:
            # An issuer may put another key under the same kid, or have keys without one.
            newer = await issuer.keys.newer_than(keys, token.kid, token.algorithm)
            refused = refused if newer is None else _check_signature(token, newer)
        if refused is not None:
            return refused
        now = time.time()
        try:
            expires = reading.check(token.claims, issuer.rules, now)
        except TokenTimeError as error:
            if not dry_run:
                self._times.refused(str(name), token.claims.get("sub"), error.seconds)
            raise
        bearer = self._subjects.recognise(token.claims, issuer.claims, self.name, value)
        if isinstance(bearer, Recognised):
            until = min(expires, now + issuer.keys.seconds_left)
            verified = _Verified(bearer, until, issuer.keys, issuer.keys.version)
            self._verified.put(sha256(value).digest(), verified)
            self._times.accepted()
        return bearer

    def challenge(self, refused: Refused | None) -> bytes:
        """RFC 6750, 3: without a token there is no error to name."""
        challenge = f'Bearer realm="{self._realm}"'
        if refused is not None and refused.kind is ErrorKind.UNAUTHENTICATED:
            description = refused.detail.replace('"', "'").replace("\\", "/")
            challenge += f', error="invalid_token", error_description="{description}"'
        return challenge.encode("ascii", "replace")


def _check_signature(token: Token, keys: KeySet) -> Refused | None:
    candidates = keys.candidates(token.kid, token.algorithm)
    if not candidates:
        return UNKNOWN_KEY
    signed = any(key.verifies(token.algorithm, token.signed, token.signature) for key in candidates)
    return None if signed else WRONG_SIGNATURE
