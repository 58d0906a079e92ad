"""Sessions of servers, sealed into the session id that the client gets.

Nothing of a session is kept here: what a request needs to reach the same servers, and there the same endpoints, is in
its `Mcp-Session-Id`, encrypted (AES-GCM, NIST SP 800-38D). So every gateway with the same key can serve it, and it
outlives restarts. An id is of one endpoint and one consumer: in the hands of another it opens nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange
from gateway.upstream.sticky import CookieKey

KEY_FILE: Final = "mcp-key"  # in the state directory
PREFIX: Final = "gw1-"
LONGEST: Final = 8192  # characters of an id that we hand out

_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class ServerSession:
    """The session at one server."""

    server: str
    id: str = ""  # of the server; empty: it gave none
    endpoint: str = ""  # of the server's service, by its address; empty: any
    version: str = ""  # of the protocol, as the server said it; empty: as the client says
    offers: str = ""  # letters for what it offers, see `capabilities.py`


@dataclass(frozen=True, slots=True)
class Session:
    """The sessions behind one of a client."""

    servers: tuple[ServerSession, ...] = ()
    version: str = ""  # of the protocol, as the client knows it

    def of(self, server: str) -> ServerSession | None:
        """The one at this server."""
        return next((each for each in self.servers if each.server == server), None)


class NotOurs(Exception):
    """A session id that opens nothing here."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Makes and opens the session ids of one endpoint."""

    endpoint: str  # its name
    key: CookieKey = field(repr=False)

    def __post_init__(self) -> None:
        self._cipher()  # the library takes long to load: here, and not on the way of the first request

    def sealed(self, session: Session, exchange: Exchange) -> str:
        """The id for a client. Raises GatewayError where servers have ids that are too long to be sealed in one."""
        parts = [[each.server, each.id, each.endpoint, each.version, each.offers] for each in session.servers]
        plain = orjson.dumps([session.version, parts])
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher().encrypt(nonce, plain, self._bound_to(exchange))
        id = PREFIX + base64.urlsafe_b64encode(sealed).decode().rstrip("=")
        if len(id) > LONGEST:
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, "the session ids of the servers are too long")
        return id

    def opened(self, id: str, exchange: Exchange) -> Session:
        """The original of an id. Raises NotOurs."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  as in `_cipher`

        text = id.removeprefix(PREFIX)
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            plain = self._cipher().decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._bound_to(exchange))
        except (binascii.Error, ValueError, InvalidTag):
            raise NotOurs from None
        version, parts = orjson.loads(plain)
        return Session(tuple(ServerSession(*part) for part in parts), version)

    def _cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  only with MCP

        return AESGCM(hashlib.sha256(b"mcp session\0" + self.key.value).digest())

    def _bound_to(self, exchange: Exchange) -> bytes:
        identity = exchange.identity
        who = ["", ""] if identity is None else [identity.consumer, identity.tenant or ""]
        return orjson.dumps([self.endpoint, *who])
