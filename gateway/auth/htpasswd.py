"""Passwords as other servers keep them: htpasswd files, with bcrypt, apr1 or SHA-1, and passwords in mounted secrets.

The kinds that htpasswd makes are taken because people have them. Of these only bcrypt is slow to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from gateway.algorithms.md5_crypt import apr1

MAX_BCRYPT = 14  # the logarithm of its rounds; about a second

_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
_APR1 = re.compile(r"\$apr1\$([./A-Za-z0-9]{1,8})\$([./A-Za-z0-9]{22})", re.ASCII)
_SHA = re.compile(r"\{SHA\}([A-Za-z0-9+/]{27}=)", re.ASCII)


class Hash(Protocol):
    """The stored form of a password."""

    @property
    def cost(self) -> tuple[str | int, ...]:
        """The parameters that determine the time of a check: the kind of hash and its costs. Equal ones take equally
        long."""
        ...

    @property
    def memory(self) -> int:
        """The bytes that a check takes."""
        ...

    def verify(self, password: str) -> bool:
        """Whether it is this password. Blocks."""
        ...

    def dummy(self) -> Hash:
        """A hash that no password has, and that costs as much to check."""
        ...


@dataclass(frozen=True, slots=True)
class Bcrypt:
    """`$2y$10$...`, of which the first 72 bytes of a password count."""

    text: bytes

    @property
    def cost(self) -> tuple[str | int, ...]:
        return "bcrypt", int(self.text[4:6])

    @property
    def memory(self) -> int:
        return 8 * 1024

    def verify(self, password: str) -> bool:
        import bcrypt  # noqa: PLC0415  for those who have such hashes

        return bcrypt.checkpw(password.encode()[:72], self.text)

    def dummy(self) -> Bcrypt:
        return Bcrypt(self.text[:7] + b"." * 53)


@dataclass(frozen=True, slots=True)
class Apr1:
    """`$apr1$SALT$...`: 1,000 rounds of MD5."""

    salt: str
    digest: str

    @property
    def cost(self) -> tuple[str | int, ...]:
        return ("apr1",)

    @property
    def memory(self) -> int:
        return 1024

    def verify(self, password: str) -> bool:
        return hmac.compare_digest(apr1(password.encode(), self.salt.encode()), self.digest)

    def dummy(self) -> Apr1:
        return Apr1(self.salt, "!" * 22)


@dataclass(frozen=True, slots=True)
class Sha1:
    """`{SHA}...`: one SHA-1, without a salt."""

    digest: bytes

    @property
    def cost(self) -> tuple[str | int, ...]:
        return ("sha1",)

    @property
    def memory(self) -> int:
        return 1024

    def verify(self, password: str) -> bool:
        made = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
        return hmac.compare_digest(made, self.digest)

    def dummy(self) -> Sha1:
        return Sha1(os.urandom(20))


@dataclass(frozen=True, slots=True, repr=False)
class Keyed:
    """A password that was in a file as it is: only a keyed hash of it is kept."""

    key: bytes
    digest: bytes

    @property
    def cost(self) -> tuple[str | int, ...]:
        return ("plain",)

    @property
    def memory(self) -> int:
        return 1024

    def verify(self, password: str) -> bool:
        return hmac.compare_digest(hmac.digest(self.key, password.encode(), "sha256"), self.digest)

    def dummy(self) -> Keyed:
        return Keyed(self.key, os.urandom(32))


def keyed(password: str) -> Keyed:
    """A keyed hash of a password that is in a file as plain text."""
    key = os.urandom(32)
    return Keyed(key, hmac.digest(key, password.encode(), "sha256"))


def parse(text: str) -> Hash | None:
    """The hash that htpasswd made; None where it is of another kind. Raises ValueError where it costs too much."""
    if match := _BCRYPT.fullmatch(text):
        if not 4 <= int(match[1]) <= MAX_BCRYPT:
            raise ValueError(f"a check of this bcrypt hash takes too long: its cost must be 4 to {MAX_BCRYPT}")
        return Bcrypt(text.encode())
    if match := _APR1.fullmatch(text):
        return Apr1(match[1], match[2])
    if match := _SHA.fullmatch(text):
        return Sha1(b64decode(match[1]))
    return None


def entries(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, user, hash) of an htpasswd file. What follows a second colon is a comment; what is missing is empty."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            user, _, rest = line.strip().partition(":")
            yield number, user, rest.partition(":")[0].strip()
