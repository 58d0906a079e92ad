"""HTTP Basic (RFC 7617): user names and passwords of consumers.

A password is checked on a thread, because scrypt and bcrypt take long by design. What came of it is remembered for a
while under a keyed hash of the credentials, so that only the first request of a client waits. Checks wait in turns by
address, and those that would pile up are refused.

A refusal costs the same for every name, known or not: whatever parameters the hashes of this scheme have, each of them
is worked through once. So the time does not give away who exists.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import os
import time
from base64 import b64decode
from collections.abc import Hashable
from dataclasses import dataclass, replace

from gateway.algorithms.byte_cache import ByteCache
from gateway.auth import password
from gateway.auth.context import AuthContext
from gateway.auth.credentials import authorization
from gateway.auth.htpasswd import Hash
from gateway.auth.password_checks import PasswordChecks
from gateway.auth.scheme import AuthResult, Locations, Recognised, Refused, unavailable
from gateway.auth.turns import BusyError, owner_of
from gateway.http import Exchange

REMEMBERED = 16 * 1024**2  # bytes of what came of credentials that are right
REMEMBERED_WRONG = 4 * 1024**2  # the same of those that are wrong, which push out no others
RIGHT_SECONDS = 300.0
WRONG_SECONDS = 10.0
MAX_BYTES = 1024  # of the credentials

MALFORMED = Refused("the credentials are not user:password in base64 and UTF-8 (RFC 7617)")
WRONG = Refused("the user name or the password is wrong")
BUSY = unavailable("too many passwords are being checked at the moment", 1)


@dataclass(frozen=True, slots=True)
class User:
    """A consumer with a password."""

    hash: Hash
    holder: Recognised


class Basic:
    """The scheme of kind `basic`."""

    locations = Locations(frozenset({b"authorization"}))

    def __init__(self, name: str, users: dict[str, User], checks: PasswordChecks, realm: str, *, forward: bool) -> None:
        self.name = name
        self.forward = forward
        self._users = users
        self._workers = checks
        self._realm = realm
        self._key = os.urandom(32)
        self._known: ByteCache[bytes, tuple[AuthResult, float]] = ByteCache(REMEMBERED)
        self._wrong: ByteCache[bytes, tuple[AuthResult, float]] = ByteCache(REMEMBERED_WRONG)
        self._checks: dict[bytes, asyncio.Task[AuthResult]] = {}
        costs = {user.hash.cost: user.hash for user in users.values()}
        self._unknown = [hash_.dummy() for hash_ in costs.values()] or [password.dummy()]
        self._memory = max(hash_.memory for hash_ in self._unknown)

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """Whose name and password they are."""
        value = authorization(exchange, b"basic")
        if value is None:
            return None
        if len(value) > MAX_BYTES:
            return MALFORMED
        digest = hashlib.blake2b(value, key=self._key, digest_size=32).digest()
        known = self._known.get(digest) or self._wrong.get(digest)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        # Several requests with the same credentials wait for one check.
        owner = owner_of(exchange)
        check = self._checks.get(digest)
        if check is None:
            credentials = _decoded(value)
            if credentials is None:
                return MALFORMED
            check = self._checks[digest] = asyncio.create_task(self._check(digest, owner, *credentials))
        return await asyncio.shield(check)

    async def _check(self, digest: bytes, owner: Hashable, username: str, secret: str) -> AuthResult:
        user = self._users.get(username)
        try:
            right = await self._workers.run(owner, self._memory, lambda: self._is_right(user, secret))
        except BusyError:
            return BUSY
        finally:
            del self._checks[digest]
        if user and right:
            self._known.put(digest, (user.holder, time.monotonic() + RIGHT_SECONDS))
            return user.holder
        result = replace(WRONG, consumer=user.holder.identity.consumer) if user else WRONG
        self._wrong.put(digest, (result, time.monotonic() + WRONG_SECONDS))
        return result

    def _is_right(self, user: User | None, secret: str) -> bool:
        """On a thread."""
        if user and user.hash.verify(secret):
            return True
        for unknown in self._unknown:
            if user is None or user.hash.cost != unknown.cost:
                unknown.verify(secret)
        return False

    def challenge(self, refused: Refused | None) -> bytes:
        """RFC 7617, 2 and 2.1."""
        return f'Basic realm="{self._realm}", charset="UTF-8"'.encode()


def _decoded(value: bytes) -> tuple[str, str] | None:
    try:
        text = b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    username, colon, secret = text.partition(":")
    return (username, secret) if colon and text.isprintable() else None


def users(scheme: str, auth: AuthContext) -> dict[str, User]:
    """Those of the consumers that have a password; a hash that is none is a problem of `auth`."""
    found = {}
    for index, consumer in enumerate(auth.config.consumers):
        if consumer.basic is not None:
            name = consumer.basic.username
            try:
                hash_ = password.parse(consumer.basic.password)
            except ValueError as error:
                auth.problem(("consumers", index, "basic", "password"), str(error))
            else:
                found[name] = User(hash_, auth.identities.of_consumer(consumer, scheme, f"user:{name}"))
    return found
