"""Cookies that bind a client, and are in a form that only gateways can write or read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from errno import EINVAL
from pathlib import Path
from typing import Final, Literal

from gateway.config.regular_files import MAX_SECRET_BYTES, read_regular
from gateway.http.messages import Exchange, Response
from gateway.http.parameters import cookie_values

logger = logging.getLogger("gateway.upstream")

KEY_FILE: Final = "sticky-key"  # in the state directory

_TOKEN_BYTES: Final = 15  # of an HMAC, which become twenty characters
_KEY_BYTES: Final = 32


class CookieKey:
    """The key that signs cookies: a secret that several gateways share, or one that is created and kept in a file.

    `made`: what ends with the process where the key cannot be kept.
    """

    def __init__(self, secret: str = "", path: Path | None = None, made: str = "sticky cookies") -> None:
        self.value = secret.encode()
        self._path = path
        self._made = made
        self._trouble = ""

    async def start(self) -> None:
        """Read the key from its file, or make one. Where it cannot be kept, it ends with the process."""
        if self._path is None:
            return
        try:
            self.value = await asyncio.to_thread(_kept, self._path)
        except OSError as error:
            self.value = secrets.token_bytes(_KEY_BYTES)
            self._trouble = f"{self._made} end with this process: {self._path} cannot be kept: {error.strerror}"
            logger.warning("%s; make the directory writable, or give a secret", self._trouble)

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self._trouble:
            yield self._trouble


def _kept(path: Path) -> bytes:
    """The key in a file, which is made where there is none. Of two processes that make it, both get that of one."""
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
    try:
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    """The key in a file. With an empty one, perhaps of a full disk, cookies could be forged. Raises OSError."""
    try:
        key = read_regular(path, MAX_SECRET_BYTES)
    except ValueError as error:
        raise OSError(EINVAL, str(error)) from error
    if len(key) < _KEY_BYTES:
        raise OSError(EINVAL, "it has no key; remove it")
    return key


@dataclass(frozen=True, slots=True)
class StickyCookie:
    """A cookie that binds a client to an endpoint, or to one of the services of a split."""

    name: str
    key: CookieKey
    max_age: int | None = None  # seconds; None: until the browser is closed
    same_site: Literal["lax", "strict", "none"] = "lax"

    def token(self, *names: str) -> bytes:
        """The value that stands for what has these names. Only valid when the key has started."""
        digest = hmac.digest(self.key.value, "\0".join(names).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:_TOKEN_BYTES])

    def held(self, exchange: Exchange) -> list[bytes]:
        """The values with which a client sends it. A browser may have others of this name, of other paths."""
        return cookie_values(exchange.headers, exchange.fields, self.name.encode())

    def bind(self, exchange: Exchange, token: bytes, response: Response) -> None:
        """Set it with an answer that is no failure, unless the client has it."""
        if response.status < 500 and token not in self.held(exchange):
            secure = exchange.scheme == "https"
            parts = [f"{self.name}={token.decode()}", "Path=/"]
            if self.max_age is not None:
                parts.append(f"Max-Age={self.max_age}")
            parts += ["HttpOnly", f"SameSite={self.same_site.capitalize()}"]
            if secure or self.same_site == "none":
                parts.append("Secure")
            response.headers.append((b"set-cookie", "; ".join(parts).encode()))
