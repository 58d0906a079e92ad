"""Clients that stay with their endpoint: a cookie says which it was, in a form that only gateways can write or read."""

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
from gateway.upstream.endpoint import Endpoint

logger = logging.getLogger("gateway.upstream")

KEY_FILE: Final = "sticky-key"  # in the state directory

_TOKEN_BYTES: Final = 15  # of an HMAC, which become twenty characters
_KEY_BYTES: Final = 32


class CookieKey:
    """What cookies are signed with: a secret that several gateways share, or one that is made and kept in a file."""

    def __init__(self, secret: str = "", path: Path | None = None) -> None:
        self.value = secret.encode()
        self._path = path
        self._trouble = ""

    async def start(self) -> None:
        """Read the key from its file, or make one. Where it cannot be kept, it ends with the process."""
        if self._path is None:
            return
        try:
            self.value = await asyncio.to_thread(_kept, self._path)
        except OSError as error:
            self.value = secrets.token_bytes(_KEY_BYTES)
            self._trouble = f"sticky cookies end with this process: {self._path} cannot be kept: {error.strerror}"
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
    """The key in a file. With an empty one, whose disk was full perhaps, anybody could make cookies. Raises OSError."""
    try:
        key = read_regular(path, MAX_SECRET_BYTES)
    except ValueError as error:
        raise OSError(EINVAL, str(error)) from error
    if len(key) < _KEY_BYTES:
        raise OSError(EINVAL, "it has no key; remove it")
    return key


@dataclass(frozen=True, slots=True)
class StickyCookie:
    """The cookie that binds a client to an endpoint."""

    name: str
    key: CookieKey
    max_age: int | None = None  # seconds; None: until the browser is closed
    same_site: Literal["lax", "strict", "none"] = "lax"


class Affinity:
    """The clients of one service and their endpoints. Nothing is kept of any client: its cookie says it all.

    The cookie has a keyed hash of the endpoint's address, which says nothing to anyone else. What is not known, because
    its endpoint has left or the cookie is not ours, binds to nothing.
    """

    __slots__ = ("_endpoints", "_service", "_tokens", "cookie")

    def __init__(self, service: str, cookie: StickyCookie) -> None:
        self.cookie = cookie
        self._service = service
        self._endpoints: dict[bytes, Endpoint] = {}
        self._tokens: dict[Endpoint, bytes] = {}

    def offer(self, endpoints: Iterable[Endpoint]) -> None:
        """These are the endpoints of the service."""
        self._tokens = {endpoint: self._tokens.get(endpoint, b"") for endpoint in endpoints}
        self._endpoints = {}

    def bound(self, exchange: Exchange) -> Endpoint | None:
        """The endpoint that this client is bound to, whether it is up or not."""
        values = cookie_values(exchange.headers, exchange.fields, self.cookie.name.encode())
        if not values:
            return None
        if not self._endpoints:
            self._endpoints = {self._token(endpoint): endpoint for endpoint in self._tokens}
        # A browser may have others of this name, of other paths or domains.
        return next((self._endpoints[value] for value in values if value in self._endpoints), None)

    def remember(self, exchange: Exchange, endpoint: Endpoint, response: Response) -> None:
        """An endpoint has answered: bind the client to it from now on, unless it failed."""
        if response.status >= 500 or endpoint not in self._tokens:
            return
        token = self._token(endpoint)
        if token not in cookie_values(exchange.headers, exchange.fields, self.cookie.name.encode()):
            response.headers.append((b"set-cookie", self._line(token, secure=exchange.scheme == "https")))

    def _token(self, endpoint: Endpoint) -> bytes:
        token = self._tokens[endpoint]
        if not token:
            text = f"endpoint\0{self._service}\0{endpoint.label}".encode()
            digest = hmac.digest(self.cookie.key.value, text, hashlib.sha256)
            token = self._tokens[endpoint] = base64.urlsafe_b64encode(digest[:_TOKEN_BYTES])
        return token

    def _line(self, token: bytes, *, secure: bool) -> bytes:
        cookie = self.cookie
        parts = [f"{cookie.name}={token.decode()}", "Path=/"]
        if cookie.max_age is not None:
            parts.append(f"Max-Age={cookie.max_age}")
        parts += ["HttpOnly", f"SameSite={cookie.same_site.capitalize()}"]
        if secure or cookie.same_site == "none":
            parts.append("Secure")
        return "; ".join(parts).encode()
