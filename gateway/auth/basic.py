"""HTTP Basic (RFC 7617): user names and passwords of consumers.

A password is checked on a thread, because scrypt takes long by design. What came of it is remembered for a while
under a keyed hash of the credentials, so that only the first request of a client waits. Checks that would pile up
are refused.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import os
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from gateway.auth import password
from gateway.auth.credentials import authorization
from gateway.auth.outcome import Outcome, Places, Recognised, Refused, unavailable
from gateway.auth.workshop import Workshop
from gateway.http import Exchange

REMEMBERED = 10_000  # credentials
RIGHT_SECONDS = 300.0
WRONG_SECONDS = 10.0
CHECKS_AT_A_TIME = 2
CHECKS_WAITING = 64
MAX_BYTES = 1024  # of the credentials

MALFORMED = Refused("the credentials are not user:password in base64 and UTF-8 (RFC 7617)")
WRONG = Refused("the user name or the password is wrong")
BUSY = unavailable("too many passwords are being checked at the moment", 1)


@dataclass(frozen=True, slots=True)
class User:
    """A consumer with a password."""

    hash: password.PasswordHash
    holder: Recognised


class Basic:
    """The scheme of kind `basic`."""

    places = Places(frozenset({b"authorization"}))

    def __init__(self, name: str, users: dict[str, User], realm: str, *, forward: bool) -> None:
        self.name = name
        self.forward = forward
        self._users = users
        self._realm = realm
        self._key = os.urandom(32)
        self._known: dict[bytes, tuple[Outcome, float]] = {}
        self._checks: dict[bytes, asyncio.Task[Outcome]] = {}
        self._threads = ThreadPoolExecutor(CHECKS_AT_A_TIME, "password")
        # Checked for users who are not there, so that the time does not tell who is.
        self._nobody = password.PasswordHash(15, 8, 1, os.urandom(16), os.urandom(32))

    async def authenticate(self, exchange: Exchange, *, asking: bool = True) -> Outcome:
        """Whose name and password they are."""
        value = authorization(exchange, b"basic")
        if value is None:
            return None
        if len(value) > MAX_BYTES:
            return MALFORMED
        digest = hashlib.blake2b(value, key=self._key, digest_size=32).digest()
        known = self._known.get(digest)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        return await self._checked(digest, value)

    async def _checked(self, digest: bytes, value: bytes) -> Outcome:
        """Several requests with the same credentials wait for one check."""
        check = self._checks.get(digest)
        if check is None:
            credentials = _decoded(value)
            if credentials is None:
                return MALFORMED
            if len(self._checks) >= CHECKS_WAITING:
                return BUSY
            check = self._checks[digest] = asyncio.create_task(self._check(digest, *credentials))
        return await asyncio.shield(check)

    async def _check(self, digest: bytes, username: str, secret: str) -> Outcome:
        try:
            user = self._users.get(username)
            wanted = user.hash if user else self._nobody
            right = await asyncio.get_running_loop().run_in_executor(self._threads, wanted.verify, secret)
            outcome: Outcome = user.holder if user and right else _wrong(user)
            self._remember(digest, outcome, RIGHT_SECONDS if isinstance(outcome, Recognised) else WRONG_SECONDS)
            return outcome
        finally:
            del self._checks[digest]

    def _remember(self, digest: bytes, outcome: Outcome, seconds: float) -> None:
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known.pop(digest, None)
        self._known[digest] = outcome, time.monotonic() + seconds

    def challenge(self, refused: Refused | None) -> bytes:
        """RFC 7617, 2 and 2.1."""
        return f'Basic realm="{self._realm}", charset="UTF-8"'.encode()


def _wrong(user: User | None) -> Refused:
    return replace(WRONG, consumer=user.holder.identity.consumer) if user else WRONG


def _decoded(value: bytes) -> tuple[str, str] | None:
    try:
        text = b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    username, colon, secret = text.partition(":")
    return (username, secret) if colon and text.isprintable() else None


def users(scheme: str, shop: Workshop) -> dict[str, User]:
    """Those of the consumers that have a password; a hash that is none is noted in the workshop."""
    found = {}
    for index, consumer in enumerate(shop.auth.consumers):
        if consumer.basic is not None:
            name = consumer.basic.username
            try:
                hash_ = password.parse(consumer.basic.password)
            except ValueError as error:
                shop.problem(("consumers", index, "basic", "password"), str(error))
            else:
                found[name] = User(hash_, shop.identities.of_consumer(consumer, scheme, f"user:{name}"))
    return found
