"""A request body, read whole: within a limit, and without what compressed it."""

from __future__ import annotations

import zlib
from typing import Final

from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.bodies import AtHand
from gateway.limits.held_bodies import MOST_TIMES, HeldBodies, decompressed
from gateway.llm.speaking import ModelError

_INFLATED: Final = {
    b"gzip": zlib.MAX_WBITS | 16,
    b"x-gzip": zlib.MAX_WBITS | 16,
    b"deflate": zlib.MAX_WBITS,
}


def read_at_once(exchange: Exchange, most: int) -> bytes | None:
    """The same as `read_body`, where all of it has come already, as small ones do; else None, and nothing is read."""
    body = exchange.body
    if body is None:
        return b""
    data = body.take(most) if isinstance(body, AtHand) else b""
    if data and b"content-encoding" in exchange.fields:
        return _decoded(exchange, data, most)
    return data or None


async def read_body(exchange: Exchange, most: int, held: HeldBodies) -> bytes:
    """All of it, decoded. Raises GatewayError where it is more than `most` bytes, in either form, or than there is room
    for."""
    body = exchange.body
    if body is None:
        return b""
    announced = exchange.fields.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > most:
        raise _too_large(most)
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await body.read():  # to its end, behind which policies look at all of it
            if size + len(piece) > most:
                raise _too_large(most)
            held.take(len(piece))
            size += len(piece)
            pieces.append(piece)
        return _decoded(exchange, b"".join(pieces), most)
    finally:
        held.room.give_back(size)


def _decoded(exchange: Exchange, data: bytes, most: int) -> bytes:
    coding = exchange.fields.get(b"content-encoding", b"").strip().lower()
    if coding in (b"", b"identity"):
        return data
    if coding not in _INFLATED:
        detail = "the body is in a Content-Encoding that is not known here; send it plain, or with gzip or deflate"
        raise ModelError(ErrorKind.UNSUPPORTED_MEDIA_TYPE, detail, "unsupported_content_encoding")
    inflate = zlib.decompressobj(_INFLATED[coding])
    try:
        decoded = decompressed(inflate, data, most)
    except zlib.error:
        raise _broken() from None
    if decoded is None:
        detail = f"the body is more than {MOST_TIMES} times larger than it is compressed; send it plain"
        raise ModelError(ErrorKind.BODY_TOO_LARGE, detail, "request_too_large")
    if len(decoded) > most:
        raise _too_large(most)
    if not inflate.eof or inflate.unused_data:
        raise _broken()
    return decoded


def _broken() -> ModelError:
    detail = "the body cannot be decompressed as its Content-Encoding says"
    return ModelError(ErrorKind.BAD_REQUEST, detail, "invalid_content_encoding")


def _too_large(most: int) -> ModelError:
    detail = f"the body is larger than the {most} bytes that a request to a model may have here"
    return ModelError(ErrorKind.BODY_TOO_LARGE, detail, "request_too_large")
