"""Applications that run inside the gateway, as `asgi:tests.lifecycle.apps:one`, and show which route is in force."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gateway.http.bodies import Receive, Send


async def one(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answers "one"."""
    await _answer(scope, send, b"one")


async def two(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answers "two"."""
    await _answer(scope, send, b"two")


async def stubborn(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Starts, answers, and never shuts down."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()
    await _answer(scope, send, b"stubborn")


async def _answer(scope: dict[str, Any], send: Send, body: bytes) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def blocking(scope: Any, receive: Any, send: Any) -> None:
    """It never lets go of the event loop."""
    if scope["type"] == "http":
        time.sleep(600)  # noqa: ASYNC251  that is the point
