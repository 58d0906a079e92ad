"""The handshake of a WebSocket (RFC 6455, 4), which client and backend make with each other; no I/O.

The gateway writes `Connection` and `Upgrade` on both sides, and passes on what begins with `Sec-WebSocket-`: which
subprotocol is spoken and which extensions are used is between the two. It looks at the answer all the same, because a
backend that speaks no WebSocket must not have its bytes taken for frames.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from typing import Final

from gateway.http.bodies import Headers
from gateway.http.fields import tokens, values
from gateway.http.frames import RESERVED, RSV1

UPGRADE_LINES: Final[Headers] = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]

_SPELLING: Final = {
    name.lower(): name
    for name in (
        b"Upgrade",
        b"Connection",
        b"Sec-WebSocket-Accept",
        b"Sec-WebSocket-Extensions",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Protocol",
        b"Sec-WebSocket-Version",
    )
}
"""As RFC 6455 spells them: there are small clients and servers of WebSockets that look for nothing else."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_DEFLATE: Final = b"permessage-deflate"


class BadHandshake(Exception):
    """The answer takes no WebSocket that was asked for."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The result for the frames: the reserved bits that the first frame of a message, and all others, may have."""

    first_bits: int = 0
    other_bits: int = 0


def make_key() -> bytes:
    """A `Sec-WebSocket-Key`."""
    return base64.b64encode(os.urandom(16))


def accept_of(key: bytes) -> bytes:
    """The `Sec-WebSocket-Accept` that answers a key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def check_answer(asked: Headers, answered: Headers) -> Negotiated:
    """The extensions that a 101 accepts, given the header lines of the request. Raises BadHandshake."""
    fields = dict(answered)
    if fields.get(b"upgrade", b"").lower() != b"websocket" or b"upgrade" not in tokens(answered, b"connection"):
        raise BadHandshake("it is no upgrade to websocket")
    if values(answered, b"sec-websocket-accept") != [accept_of(dict(asked).get(b"sec-websocket-key", b""))]:
        raise BadHandshake("its Sec-WebSocket-Accept does not answer the key")
    selected = values(answered, b"sec-websocket-protocol")
    if len(selected) > 1 or not set(selected) <= set(_listed(values(asked, b"sec-websocket-protocol"))):
        raise BadHandshake("it selects a subprotocol that was not offered")
    used = _extensions(answered)
    if not set(used) <= set(_extensions(asked)) or len(used) != len(set(used)):
        raise BadHandshake("it selects an extension that was not offered, or one twice")
    if not used:
        return Negotiated()
    return Negotiated(RSV1, 0) if used == [_DEFLATE] else Negotiated(RESERVED, RESERVED)


def spelled(headers: Headers) -> Headers:
    """The lines of a handshake with their names in the usual spelling."""
    return [(_SPELLING[name], value) if name in _SPELLING else (name, value) for name, value in headers]


def _listed(lines: list[bytes]) -> list[bytes]:
    return [item.strip() for line in lines for item in line.split(b",") if item.strip()]


def _extensions(headers: Headers) -> list[bytes]:
    """The names in `Sec-WebSocket-Extensions`; a parameter's value may be quoted, with commas in it."""
    lines = [_QUOTED.sub(b"", line) for line in values(headers, b"sec-websocket-extensions")]
    return [item.partition(b";")[0].strip().lower() for item in _listed(lines)]
