"""Hashes of passwords: scrypt (RFC 7914), written `$scrypt$ln=15,r=8,p=1$<salt>$<hash>` as in the PHC string format.

ln is the logarithm of N. Salt and hash are base64 without padding. Passwords are normalised to NFC, as RFC 7617 asks.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass

from gateway.auth import htpasswd
from gateway.auth.htpasswd import Hash

MAX_MEMORY = 256 * 1024**2  # bytes that checking one password may take
MAX_WORK = 2**24  # N * r * p; about 5 s

_FORMAT = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})\$([A-Za-z0-9+/]{16,86})\$([A-Za-z0-9+/]{43,86})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """The stored form of a password."""

    log_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @property
    def cost(self) -> tuple[str | int, ...]:
        """The parameters that determine the time of a check: ln, r, p."""
        return "scrypt", self.log_n, self.r, self.p

    @property
    def memory(self) -> int:
        """The bytes that a check takes (RFC 7914, 5)."""
        return 128 * self.r << self.log_n

    def verify(self, password: str) -> bool:
        """Whether it is this password. Takes some 90 ms (with the parameters of `make`) on the calling thread."""
        return hmac.compare_digest(self._derive(password, self.salt, len(self.digest)), self.digest)

    def dummy(self) -> PasswordHash:
        """A hash that no password has, and that costs as much to check."""
        return dummy(self.log_n, self.r, self.p)

    def _derive(self, password: str, salt: bytes, length: int) -> bytes:
        data = unicodedata.normalize("NFC", password).encode()
        n = 1 << self.log_n
        return hashlib.scrypt(data, salt=salt, n=n, r=self.r, p=self.p, maxmem=2 * MAX_MEMORY, dklen=length)

    def __str__(self) -> str:
        return f"$scrypt$ln={self.log_n},r={self.r},p={self.p}${_text(self.salt)}${_text(self.digest)}"


def make(password: str) -> PasswordHash:
    """The hash of a new password, with 32 MiB of memory and a salt of its own."""
    empty = PasswordHash(15, 8, 1, os.urandom(16), b"")
    return PasswordHash(empty.log_n, empty.r, empty.p, empty.salt, empty._derive(password, empty.salt, 32))


def dummy(log_n: int = 15, r: int = 8, p: int = 1) -> PasswordHash:
    """A hash that no password has, and that costs as much to check as any with these parameters."""
    return PasswordHash(log_n, r, p, os.urandom(16), os.urandom(32))


def parse(text: str) -> Hash:
    """The hash that a text stands for. Raises ValueError; its text repeats nothing of the hash."""
    match = _FORMAT.fullmatch(text)
    if match is None:
        if (other := htpasswd.parse(text)) is not None:
            return other
        ours = "$scrypt$ln=..,r=..,p=..$<salt>$<hash>, which `gateway keys password` makes"
        raise ValueError(f"expected {ours}, or $2y$..., $apr1$... or {{SHA}}..., which htpasswd does")
    log_n, r, p = int(match[1]), int(match[2]), int(match[3])
    if log_n < 10 or r < 1 or p < 1 or 128 * r << log_n > MAX_MEMORY or r * p << log_n > MAX_WORK:
        raise ValueError("ln must be at least 10, and the hash must need at most 256 MiB and some seconds")
    return PasswordHash(log_n, r, p, _bytes(match[4]), _bytes(match[5]))


def _text(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4))
