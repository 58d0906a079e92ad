"""The gateway's own answers: JSON-RPC messages, and its errors as such."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Exchange, Handler, Headers, Response
from gateway.http.problems import AnsweredError
from gateway.limits.held_bodies import HeldBodies
from gateway.mcp.bodies import request_body
from gateway.mcp.json_text import joined
from gateway.mcp.messages import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    REFUSED,
    TIMED_OUT,
    BadMessage,
    Message,
    error_text,
    read,
)

logger = logging.getLogger("gateway.mcp")

JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream"

_LARGEST_LOOKED_INTO: Final = 64 * 1024  # bytes of a request that was refused unread
_PATIENCE: Final = 1.0  # seconds for these
_CODES: Final = {
    ErrorKind.BAD_REQUEST: PARSE_ERROR,
    ErrorKind.BODY_TOO_LARGE: INVALID_REQUEST,
    ErrorKind.UNSUPPORTED_MEDIA_TYPE: INVALID_REQUEST,
    ErrorKind.METHOD_NOT_ALLOWED: INVALID_REQUEST,
    ErrorKind.INTERNAL: INTERNAL_ERROR,
    ErrorKind.UPSTREAM_TIMEOUT: TIMED_OUT,
    ErrorKind.UPSTREAM_CONNECT_TIMEOUT: TIMED_OUT,
}


def answer(
    texts: Sequence[str], *, batch: bool, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Response:
    """Messages that are JSON already, as a response."""
    body = (joined(texts) if batch else texts[0]).encode()
    lines: Headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body)), *headers]
    return Response(status, lines, body)


def accepted() -> Response:
    """The answer to what is not answered."""
    return Response(202, [(b"content-length", b"0")])


def refused(error: BadMessage) -> Response:
    """The answer to a message that is wrong."""
    return answer([error_text(error.id, error.code, error.sentence)], batch=False, status=error.status)


def sentence_of(error: GatewayError, *, full: bool = False) -> str:
    """The text of an error for clients."""
    return error.detail if full or error.public_detail is None else error.public_detail


def failed(
    error: GatewayError,
    exchange: Exchange,
    requests: Sequence[Message] = (),
    *,
    batch: bool = False,
    full: bool = False,
) -> Response:
    """An error as the answer to these requests, or to what has none, with its status and headers."""
    texts = [failure_text(error, exchange, each.id, full=full) for each in requests]
    texts = texts or [failure_text(error, exchange, "", full=full)]
    return answer(texts, batch=batch and bool(requests), status=error.kind.status, headers=error.headers)


def failure_text(error: GatewayError, exchange: Exchange, id: str, *, full: bool = False) -> str:
    """An error as the answer to the request with this id, which is JSON."""
    data = {"type": error.kind.type, "request_id": exchange.request_id}
    return error_text(id, code_of(error), sentence_of(error, full=full), data)


def code_of(error: GatewayError) -> int:
    """The code that JSON-RPC has for it."""
    return _CODES.get(error.kind, REFUSED) if isinstance(error.kind, ErrorKind) else REFUSED


class Speaking:
    """The outermost handler of a route to MCP servers: whatever refuses a request, its client gets a JSON-RPC error
    with the id of the request. A Handler.

    `full`: also with what names hosts, files, services and settings.
    """

    __slots__ = ("_full", "_handler", "_held")

    def __init__(self, handler: Handler, held: HeldBodies, *, full: bool) -> None:
        self._handler = handler
        self._held = held
        self._full = full

    async def __call__(self, exchange: Exchange) -> Response:
        try:
            return await self._handler(exchange)
        except AnsweredError:
            raise
        except GatewayError as error:
            exchange.error = without_frames(error)
            requests, batch = await _asked(exchange, self._held)
            return failed(error, exchange, requests, batch=batch, full=self._full)
        except Exception as error:
            logger.exception("request %s failed", exchange.request_id)
            exchange.error = without_frames(error)
            internal = GatewayError(ErrorKind.INTERNAL, "see the gateway's log under this id")
            return failed(internal, exchange)


async def _asked(exchange: Exchange, held: HeldBodies) -> tuple[Sequence[Message], bool]:
    """The requests of a body that was refused before it was read, as far as they can be seen soon."""
    length = exchange.fields.get(b"content-length", b"")
    if exchange.body is None or not length.isdigit() or int(length) > _LARGEST_LOOKED_INTO:
        return (), False
    try:
        async with asyncio.timeout(_PATIENCE):
            found = read(await request_body(exchange, _LARGEST_LOOKED_INTO, held))
    except (BadMessage, GatewayError, TimeoutError):
        return (), False
    return [each for each in found.several if each.is_request], found.batch
