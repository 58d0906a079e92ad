"""How large the body of a request may be, and how slow: more is refused before it is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.control_plane.problems import Problem, answer

USUAL: Final = 1024**2
SECONDS: Final = 30.0  # for a body, and in addition as long as it takes at this rate
BYTES_PER_SECOND: Final = 64 * 1024
INTERNAL: Final = "/api/internal/"
SLOW: Final = "the body comes too slowly"


class BodyLimit:
    """ASGI middleware. `others`: limits of paths that end in one of these."""

    def __init__(self, app: ASGIApp, others: Mapping[str, int]) -> None:
        self._app = app
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(INTERNAL):  # which bounds its bodies by itself
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        most = next((most for end, most in self._others.items() if path.endswith(end)), USUAL)
        declared = Headers(scope=scope).get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()) or len(declared) > 15 or int(declared) > most:
            response = answer(Problem(413, _too_large(most), headers={"connection": "close"}))
            await response(scope, receive, send)
            return
        seen, more = 0, True
        ends = asyncio.get_running_loop().time() + seconds_for(most)

        async def counting() -> Message:
            nonlocal seen, more
            if not more:  # what comes then is the end of the connection, which may be waited for
                return await receive()
            try:
                async with asyncio.timeout_at(ends):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, SLOW, {"connection": "close"}) from None
            seen, more = seen + len(message.get("body", b"")), message.get("more_body", False)
            if seen > most:
                raise HTTPException(413, _too_large(most))  # FastAPI turns others into a 400
            return message

        await self._app(scope, counting, send)


def seconds_for(most: int) -> float:
    """How long a body of at most so many bytes may take."""
    return SECONDS + most / BYTES_PER_SECOND


def _too_large(most: int) -> str:
    return f"the body is larger than {most // 1024} KiB"
