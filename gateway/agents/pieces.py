"""Work in small pieces, so that a gateway on the same core waits for no more than one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

AT_ONCE: Final = 5  # messages: half a millisecond, or less
REST_SECONDS: Final = 0.01  # until the next ones

T = TypeVar("T")


async def in_pieces(messages: Iterable[T]) -> AsyncIterator[T]:
    """The same, with rests between them."""
    for number, each in enumerate(messages):
        if number and number % AT_ONCE == 0:
            await asyncio.sleep(REST_SECONDS)
        yield each
