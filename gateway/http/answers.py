"""Header lines that a policy adds to the answer of the handler behind it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import GatewayError
from gateway.http.messages import Exchange, Handler, Response


async def answer_with(handler: Handler, exchange: Exchange, lines: Sequence[tuple[bytes, bytes]]) -> Response:
    """The handler's answer with these header lines, also if it is a refusal."""
    try:
        response = await handler(exchange)
    except GatewayError as error:
        error.headers += tuple(lines)
        raise
    response.headers += lines
    return response
