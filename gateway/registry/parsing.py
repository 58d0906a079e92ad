"""Parses long answers of a registry on a thread, so that requests do not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from gateway.live import on_thread

T = TypeVar("T")

INLINE: Final = 32 * 1024  # bytes that are parsed at once; more of them on a thread


async def parsed(name: str, parse: Callable[[], T], size: int) -> T:
    """The result of `parse` for so many bytes, on a thread of this name if that takes long."""
    return parse() if size <= INLINE else await on_thread(name, parse)
