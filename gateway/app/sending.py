"""Response -> ASGI messages, and what of it was sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.http import Exchange, Headers, Outcome, Response
from gateway.http.fields import tokens
from gateway.http.messages import Send


async def send_response(exchange: Exchange | None, response: Response, send: Send, outcome: Outcome) -> None:
    """Send a response. Raises GatewayError where its body is cut short.

    `exchange` is given where the server can send trailers (an extension of ASGI).
    """
    body = response.body
    start = {"type": "http.response.start", "status": response.status, "headers": response.headers}
    if isinstance(body, bytes):
        await send(start)
        await send({"type": "http.response.body", "body": body})
        outcome.sent = len(body)
        return
    trailers = exchange is not None and _wants_trailers(exchange, response)
    await send(start | {"trailers": trailers})
    if not body.ready:
        await send({"type": "http.response.body", "body": b"", "more_body": True})  # let the head go
    while piece := await body.read():
        outcome.sent += len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    if trailers:
        await send({"type": "http.response.trailers", "headers": body.trailers, "more_trailers": False})


async def deny_websocket(response: Response, scope: dict[str, Any], send: Send) -> None:
    """Answer a WebSocket handshake with something else than 101."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.http.response.start", "status": response.status, "headers": response.headers})
    body = response.body
    if isinstance(body, bytes):
        await send({"type": "websocket.http.response.body", "body": body})
        return
    while piece := await body.read():
        await send({"type": "websocket.http.response.body", "body": piece, "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b""})


def early_hints(send: Send) -> Callable[[Headers], Awaitable[None]]:
    """Passes the links of a 103 on (RFC 8297)."""

    async def pass_on(links: Headers) -> None:
        await send({"type": "http.response.early_hint", "links": [value for _, value in links]})

    return pass_on


def _wants_trailers(exchange: Exchange, response: Response) -> bool:
    """Whether the trailer section, if one comes, may be passed on (RFC 9110, 6.5.1)."""
    if any(name == b"trailer" for name, _ in response.headers):
        return True
    return b"te" in exchange.fields and b"trailers" in tokens(exchange.headers, b"te")
