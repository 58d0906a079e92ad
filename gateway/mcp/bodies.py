"""Bodies as they are read here: whole, within a limit."""

from __future__ import annotations

import zlib
from typing import Final

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Exchange, WrappedBody
from gateway.http.fields import values
from gateway.limits.held_bodies import MOST_TIMES, HeldBodies, decompressed, memory_for

_CODINGS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""How zlib calls what clients call so."""


_UTF8: Final = (b"utf-8", b"utf8")


class AnswerTooLarge(Exception):
    """A server's answer is larger than may be kept."""


async def request_body(exchange: Exchange, largest: int, held: HeldBodies) -> bytes:
    """The body of a request, decoded, which is held until that ends. Raises GatewayError where it is too large, or
    encoded otherwise."""
    body = exchange.body
    if body is None:
        return b""
    if int(exchange.fields.get(b"content-length", b"0")) > largest:
        raise _too_large(largest)
    data, size = bytearray(), 0
    try:
        while piece := await body.read():
            if size + len(piece) > largest:
                raise _too_large(largest)
            held.take(len(piece))
            size += len(piece)
            data += piece
        plain = _decoded(bytes(data), exchange.fields.get(b"content-encoding", b"").strip().lower(), largest)
    finally:
        held.room.give_back(size)
    held.hold(exchange, memory_for(plain))
    return plain


def check_media_type(exchange: Exchange) -> None:
    """A message is JSON in UTF-8: of any other type or charset, another reader might see another message in the same
    bytes. Raises GatewayError."""
    types = values(exchange.headers, b"content-type")
    if not types:
        return
    kind, *parameters = (part.strip().lower() for part in types[0].split(b";"))
    charsets = [part.partition(b"=")[2].strip().strip(b'"') for part in parameters if part.startswith(b"charset")]
    if len(types) > 1 or kind != b"application/json" or any(each not in _UTF8 for each in charsets):
        raise GatewayError(ErrorKind.UNSUPPORTED_MEDIA_TYPE, "a message is application/json, in UTF-8")


def _decoded(data: bytes, coding: bytes, largest: int) -> bytes:
    if coding in (b"", b"identity"):
        return data
    if coding not in _CODINGS:
        detail = "a message may be compressed with gzip or deflate, and not otherwise"
        raise GatewayError(ErrorKind.UNSUPPORTED_MEDIA_TYPE, detail, headers=((b"accept-encoding", b"gzip, deflate"),))
    reader = zlib.decompressobj(_CODINGS[coding])
    try:
        plain = decompressed(reader, data, largest)
    except zlib.error:
        raise GatewayError(ErrorKind.BAD_REQUEST, "the body is not compressed as it says") from None
    if plain is None:
        detail = f"the body is more than {MOST_TIMES} times larger than it is compressed; send it plain"
        raise GatewayError(ErrorKind.BODY_TOO_LARGE, detail)
    if len(plain) > largest:
        raise _too_large(largest)
    if not reader.eof or reader.unused_data:
        raise GatewayError(ErrorKind.BAD_REQUEST, "the body is not compressed as it says")
    return plain


def _too_large(largest: int) -> GatewayError:
    return GatewayError(ErrorKind.BODY_TOO_LARGE, f"a message is at most {largest} bytes here")


async def begun(body: Body, most: int) -> bytes | Body:
    """A body as a whole, or, where it has more bytes than this, as one that goes on. Raises GatewayError where it is
    cut short before that."""
    data = bytearray()
    while piece := await body.read():
        data += piece
        if len(data) > most:
            return _goes_on(bytes(data), body)
    return bytes(data)


def _goes_on(first: bytes, body: Body) -> Body:
    left = [first]

    async def read() -> bytes:
        return left.pop() if left else await body.read()

    return WrappedBody(body, read)


async def answer_body(body: bytes | Body, largest: int) -> bytes:
    """The body of an answer. Raises AnswerTooLarge; GatewayError where it is cut short."""
    if isinstance(body, bytes):
        return body
    data = bytearray()
    while piece := await body.read():
        data += piece
        if len(data) > largest:
            body.close()
            raise AnswerTooLarge
    return bytes(data)
