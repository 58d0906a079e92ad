"""Tokens of the admin port: the one that is made on this machine, and what all of them may do."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final, Literal

from gateway.config.models.admin import Admin

FILE = "admin-token"
LOCAL = "local"  # what the log calls the holder of the token in FILE

_TOKEN_BYTES = 32  # of randomness
_PREFIX = "gwa_"  # so that scanners for leaked secrets can recognise one
_TOKEN: Final = r"gwa_[A-Za-z0-9_-]{20,200}"


def new_token() -> str:
    """A token that cannot be guessed."""
    return _PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)


def hash_of(token: str) -> str:
    """The hash of a token in the form of the configuration."""
    return "sha256:" + sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Holder:
    """Who shows a token that is known, and what the holder may do."""

    name: str
    role: Literal["read", "write"]


@dataclass(frozen=True, slots=True)
class LocalToken:
    """The token of this machine, and the file that it is in."""

    token: str
    path: Path


@dataclass(frozen=True, slots=True)
class Credentials:
    """The facts for a decision about a request."""

    settings: Admin
    local: LocalToken | None
    loaded: bool = True  # whether a configuration is, which says what tokens there are

    def holder_of(self, shown: str) -> Holder | None:
        """Whose token hashes to this."""
        found = None
        if self.local is not None and compare_digest(shown, hash_of(self.local.token)):
            found = Holder(LOCAL, "write")
        for each in self.settings.tokens:
            if compare_digest(shown, each.hash):
                found = Holder(each.name, each.role)
        return found


def read_token(path: Path, owners: Collection[int]) -> str | None:
    """The token in a file that only its owner can read, who is one of these users. None if the file does not exist."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, encoding="ascii", errors="replace") as file:
        status = os.fstat(descriptor)
        if status.st_uid not in owners or not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            return None
        text = file.read(1024).strip()
    return text if re.fullmatch(_TOKEN, text, re.ASCII) else None


def local_token(directory: Path, name: str = FILE) -> LocalToken:
    """The token of this machine, made where there is none, or where others could have read it. Raises OSError."""
    path = directory.resolve() / name
    if (token := read_token(path, {os.geteuid(), 0})) is not None:
        return LocalToken(token, path)
    directory.mkdir(0o700, parents=True, exist_ok=True)
    token = new_token()
    temporary = directory / f".{name}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return LocalToken(token, path)
