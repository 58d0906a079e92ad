"""What tests of sources have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx2

SECONDS = 10.0


async def shows(url: str, text: str, headers: Mapping[str, str] | None = None) -> None:
    """Wait until an answer from this address holds a text."""
    last = "nothing"
    async with httpx2.AsyncClient(headers=headers) as client:
        for _ in range(int(SECONDS / 0.05)):
            last = (await client.get(url)).text
            if text in last:
                return
            await asyncio.sleep(0.05)
    raise AssertionError(f"no {text!r} in {last!r}")
