"""Applications that run inside the gateway, as `asgi:tests.lifecycle.apps:one`, and show which route is in force."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
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


async def starting(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Leaves a process behind, and answers its id and the exit codes of others, one of which has long ended."""
    early = subprocess.Popen(["sh", "-c", "exit 3"])  # noqa: ASYNC220  as policies do
    shell = await asyncio.create_subprocess_exec("sh", "-c", "true & echo $!; exit 7", stdout=subprocess.PIPE)
    left, _ = await shell.communicate()
    worker = multiprocessing.get_context("fork").Process(target=os._exit, args=(5,))
    worker.start()
    await asyncio.sleep(0.2)
    worker.join(5)
    codes = shell.returncode, early.wait(5), worker.exitcode
    await _answer(scope, send, f"{left.decode().strip()} {codes}".encode())


async def _answer(scope: dict[str, Any], send: Send, body: bytes) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def blocking(scope: Any, receive: Any, send: Any) -> None:
    """It never lets go of the event loop."""
    if scope["type"] == "http":
        time.sleep(600)  # noqa: ASYNC251  that is the point
