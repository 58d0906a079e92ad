"""Code that is not the gateway's: custom policies, and ASGI applications. It may raise anything at all."""

from __future__ import annotations

import asyncio
import logging
import os
import site
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from gateway.driver import GivenUp

logger = logging.getLogger("gateway")

MAX_TEXT = 2000  # characters of what an error says

_OWN = Path(__file__).parent
_LIBRARIES = tuple(f"{path}/" for path in (Path(os.__file__).parent, *site.getsitepackages(), _OWN))
_COMPILED = f"{_OWN.name}/"  # what the files of compiled code begin with


Event = asyncio.Event
"""What one task waits for, and another one sets: for policies, which import no asyncio, as none opens a connection."""


def is_failure(error: BaseException) -> bool:
    """Whether this is a failure of the code that raised it: all but a cancellation of this task from outside.

    A CancelledError that custom code raises of itself, or lets through from a future that it waited for, is its own.
    """
    if not isinstance(error, asyncio.CancelledError):
        return True
    task = asyncio.current_task()
    return not isinstance(error, GivenUp) and (task is None or not task.cancelling())


def current_task() -> asyncio.Task[Any] | None:
    """The task that runs."""
    return asyncio.current_task()


def place_of(error: BaseException) -> str:
    """File and line that an error leads to: the deepest outside of libraries, if there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}"
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    custom = [place for place in places if not is_library(place[0])]
    file, line = (custom or places or [("an unknown place", 0)])[-1]
    return f"{file}:{line}"


def is_library(file: str) -> bool:
    """Whether a file of code, or a place in it, is Python's, the gateway's or an installed package's."""
    if file.startswith(("<frozen", *_LIBRARIES)):
        return True
    name = file.partition(":")[0]
    return name.startswith(_COMPILED) and (_OWN.parent / name).is_file()


def described(error: BaseException) -> str:
    """`ValueError: no such thing (policies/p.py:12)`"""
    return f"{named(error)} ({place_of(error)})"


def named(error: BaseException) -> str:
    """`ValueError: no such thing`"""
    return f"{type(error).__name__}: {text_of(error)}".removesuffix(": ")


def hint_of(error: BaseException) -> str:
    """What is probably missing, behind the place of an error; empty where nothing is known."""
    text = text_of(error)
    if not isinstance(error, AttributeError | TypeError):
        return ""
    if "can't be used in 'await' expression" in text:
        return (
            "; nothing can be awaited of this: is the handler, or what is called, a plain def in place of an async def?"
        )
    if "coroutine" in text:
        return "; is an await missing, as in: response = await handler(exchange)?"
    return ""


def text_of(error: BaseException) -> str:
    """The message of an error, which may be of any type and length, cut to a readable size."""
    try:
        text = (error.msg if isinstance(error, SyntaxError) else None) or str(error)
    except BaseException:
        return ""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}... ({len(text)} characters)"


def run_through(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end, whatever else on the loop raises.

    SystemExit and KeyboardInterrupt end a loop from any of its tasks and callbacks, and custom code can begin such, or
    stop the loop itself.
    """
    task = loop.create_task(main)
    while True:
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            if task.done():
                raise
            place = place_of(error)
            logger.exception("custom code would have ended the gateway at %s", place)
        except RuntimeError:
            if task.done() or loop.is_closed():
                raise
            logger.error("custom code blocked the event loop, which runs again")  # noqa: TRY400  the traceback is ours
        else:
            return
