"""An ASGI application that keeps to nothing, in one way for each path."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADERS: dict[str, list[Any]] = {
    "control_in_name": [(b"x-\x01", b"a")],
    "space_in_name": [(b"x a", b"a")],
    "colon": [(b"x:", b"a")],
    "pseudo": [(b":status", b"200")],
    "no_name": [(b"", b"a")],
    "line_end": [(b"x", b"a\r\nb: c")],
    "nul": [(b"x", b"a\0")],
    "delete": [(b"x", b"\x7f")],
    "text": [("x", "a")],
    "number": [(b"x", 5)],
    "single": [(b"x",)],
    "bad_length": [(b"content-length", b"x")],
    "signed_length": [(b"content-length", b"+2")],
    "two_lengths": [(b"content-length", b"2"), (b"content-length", b"3")],
    "coding": [(b"transfer-encoding", b"gzip")],
}
SUBPROTOCOLS: dict[str, Any] = {"two_lines": "a\r\nb: c", "foreign": "\u20ac", "octets": b"chat"}
STATUSES: dict[str, Any] = {"low": 99, "interim": 101, "high": 600, "text_status": "200", "true": True, "none": None}
ORDERS: dict[str, list[Message]] = {
    "body_first": [{"type": "http.response.body", "body": b"x"}],
    "unknown": [{"type": "http.nothing"}],
    "trailers_first": [{"type": "http.response.trailers", "headers": []}],
    "websocket_message": [{"type": "websocket.accept"}],
}


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:  # noqa: C901, PLR0912  a line for each way
    if scope["type"] == "lifespan":
        raise ValueError("no lifespan")
    name = scope["path"].rpartition("/")[2]
    if scope["type"] == "websocket":
        await websocket(name, receive, send)
        return
    for message in ORDERS.get(name, ()):
        await send(message)
    if name == "exits":
        sys.exit(0)
    if name == "interrupts":
        raise KeyboardInterrupt
    if name == "cancelled":
        raise asyncio.CancelledError
    if name == "inner":
        task = asyncio.create_task(asyncio.sleep(10))
        task.cancel()
        await task
    if name == "task_exits":
        await asyncio.create_task(ending())
    if name == "silent":
        await asyncio.Event().wait()
    if name == "deaf":  # and does not let itself be cancelled
        for _ in range(20):
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue
    start = {"type": "http.response.start", "status": STATUSES.get(name, 200), "headers": HEADERS.get(name, [])}
    if name in ("short", "long"):
        start["headers"] = [(b"content-length", b"5")]
    await send(start)
    if name == "starts_twice":
        await send(start)
    if name == "pauses":
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.Event().wait()
    if name == "trickles":
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": {"short": b"x", "long": b"x" * 9}.get(name, b"ok")})
    if name == "after_the_end":
        await send({"type": "http.response.body", "body": b"more"})


async def ending() -> None:
    sys.exit(1)


async def websocket(name: str, receive: Receive, send: Send) -> None:
    await receive()
    if name == "exits":
        sys.exit(0)
    if name == "silent":
        await asyncio.Event().wait()
    if name == "refuses":
        await send({"type": "websocket.close", "code": 1008})
        return
    if name == "sends_first":
        await send({"type": "websocket.send", "text": "x"})
    headers = [(b"x-a\r\nb", b"c")] if name == "header" else []
    await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOLS.get(name), "headers": headers})
    await receive()
    sys.exit(0)


async def never_starts(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An application whose lifespan never answers."""
    if scope["type"] == "lifespan":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def exits_at_start(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An application that ends itself when it is started."""
    if scope["type"] == "lifespan":
        await receive()
    sys.exit(0)
