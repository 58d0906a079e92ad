"""An ASGI application whose clients leave, or which fails while they are there; its paths say which."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.upstream.application import Message, Receive, Send, answer, note, until_told

# Of a framework that sets these for all responses.
ACCEPTED = [(b"content-length", b"5"), (b"transfer-encoding", b"chunked"), (b"x-a", b"b")]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    name = scope["path"].rpartition("/")[2]
    if scope["type"] == "websocket":
        assert (await receive())["type"] == "websocket.connect"
        if name != "refuses":
            await send({"type": "websocket.accept", "headers": ACCEPTED})
    await HANDLERS[name](receive, send)


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    note("shutdown")
    await send({"type": "lifespan.shutdown.complete"})


async def deaf(receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def echoes(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def cleans(receive: Receive, send: Send) -> None:
    """It has something to do when its client has left."""
    note("waits")
    while (message := await receive())["type"] in ("websocket.receive", "http.request"):
        pass
    note(f"cleans up after {message.get('code', message['type'])}")
    await until_told()
    note("has cleaned up")


async def stays(receive: Receive, send: Send) -> None:
    """It never ends by itself."""
    try:
        await cleans(receive, send)
        await asyncio.Event().wait()
    finally:
        note("is cancelled")


async def busy(receive: Receive, send: Send) -> None:
    """Its client leaves while it does something else."""
    note("waits")
    await until_told()
    await cleans(receive, send)


async def refuses(receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close", "code": 4003})
    await cleans(receive, send)


async def closes(receive: Receive, send: Send) -> None:
    """It closes, and has something to do then."""
    await send({"type": "websocket.close", "code": 4001})
    await cleans(receive, send)


async def fails(receive: Receive, send: Send) -> None:
    raise ValueError("on purpose")


async def fails_to_connect(receive: Receive, send: Send) -> None:
    raise ConnectionRefusedError("its own database")


async def fails_at_the_end(receive: Receive, send: Send) -> None:
    await cleans(receive, send)
    raise ValueError("on purpose")


async def two(receive: Receive, send: Send) -> None:
    """Two of its tasks wait for messages."""

    async def taken() -> str:
        message: Message = await receive()
        return str(message.get("text") or message["body"].decode())

    note("waits")
    messages = sorted(await asyncio.gather(taken(), taken()))
    note(" and ".join(messages))
    if messages == ["three", "two"]:
        await answer(send, b"both")


HANDLERS = {
    handler.__name__: handler
    for handler in (
        deaf, echoes, cleans, stays, busy, refuses, closes, fails, fails_to_connect, fails_at_the_end, two,
    )
}  # fmt: skip
