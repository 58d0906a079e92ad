"""An ASGI application that a gateway serves in its own process, and that writes down what happens to it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def note(line: str) -> None:
    """Tell the test."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(line + "\n")


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        await HANDLERS[scope["path"].rpartition("/")[2]](scope, receive, send)


async def failing(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An application that cannot start."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def simple(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An application that knows of no lifespan."""
    if scope["type"] != "http":
        raise ValueError("only http")
    await answer(send, b"simple")


async def lifespan(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    note("startup")
    await asyncio.sleep(0.2)
    scope["state"]["ready"] = "yes"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    note("shutdown")
    await send({"type": "lifespan.shutdown.complete"})


async def closing(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An application whose shutdown takes as long as the test says."""
    if scope["type"] == "http":
        await answer(send, b"open")
        return
    await receive()
    note("startup")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    note("shutdown")
    await until_told()
    note("closed")
    await send({"type": "lifespan.shutdown.complete"})


async def until_told() -> None:
    """Wait for the test."""
    until = Path(os.environ["NOTES"] + ".goes-on")
    while not until.exists():  # noqa: ASYNC110, ASYNC240  what the test says
        await asyncio.sleep(0.02)


async def answer(send: Send, body: bytes, **headers: str) -> None:
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": lines})
    await send({"type": "http.response.body", "body": body})


async def show(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    body = b""
    while (message := await receive())["more_body"]:
        body += message["body"]
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    shown = {key: scope[key] for key in ("method", "path", "state", "client", "scheme")}
    await answer(send, json.dumps(shown | {"headers": headers, "body": body.decode()}).encode())


async def large(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(64):
        await send({"type": "http.response.body", "body": b"x" * 1024 * 1024, "more_body": True})
        note("piece")
    await send({"type": "http.response.body", "body": b""})


async def fails_before(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    raise ValueError("deliberately")


async def says_nothing(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    return


async def fails_after(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ValueError("deliberately")


async def splits(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await answer(send, b"", evil="a\r\nb: c")


async def waits(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    note("waiting")
    try:
        await asyncio.Event().wait()
    finally:
        note("cancelled")


async def background(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await answer(send, b"done")
    assert (await receive())["type"] == "http.request"
    assert (await receive())["type"] == "http.disconnect"
    await until_told()
    note("background")


async def websocket(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "fail":
            raise ValueError("on purpose")
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    note(f"closed {message['code']}")


HANDLERS = {
    handler.__name__: handler
    for handler in (show, large, fails_before, says_nothing, fails_after, splits, waits, background)
}
