"""Shared by sources that poll a registry: the client, parsing of long answers, and concurrent tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from gateway.outside.http_client import HTTP_ERRORS, TooLargeError, http_client, reason_of
from gateway.registry.source import SourceLost

UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""Errors of JSON with an unexpected structure."""

MAX_LINE: Final = 16 * 1024**2  # bytes of one message of a watch


@asynccontextmanager
async def client_of(
    seconds: float, ca: Path | None, who: str = "it", remedy: str = ""
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client (`outside/http_client.py`) for asking `who`. What goes wrong with it raises SourceLost."""
    try:
        async with await http_client(seconds, ca=ca) as client:
            yield client
    except TimeoutError as error:
        raise SourceLost(f"{who} does not answer in time") from error
    except HTTP_ERRORS as error:
        raise SourceLost(f"{who} does not answer: {reason_of(error)}") from error
    except TooLargeError as error:
        raise SourceLost(f"{who} {error}{remedy}") from error


async def lines_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
    """The messages of a watch, of which each is a line: those that each piece completes. Raises SourceLost."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield [line for line in lines if line.strip()]
        if len(rest) > MAX_LINE:
            raise SourceLost(f"a message of its watch is longer than {MAX_LINE // 1024**2} MiB")


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Wait until one of them ends, end the others, and raise what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
