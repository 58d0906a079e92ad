"""The beginning of an answer is held back until it has content: until then, a switch to another provider is unseen."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.http import Headers
from gateway.http.bodies import Body
from gateway.llm.passing import MeteredStream


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is held back, and for how long."""

    size: int = 64 * 1024  # bytes
    seconds: float = 5.0


async def hold(stream: MeteredStream, limits: Limits) -> None:
    """Read on until the stream has content, has ended, or may not be held any longer. What came is in `stream.held`."""
    ends = asyncio.get_running_loop().time() + limits.seconds
    size = 0
    while not stream.answered and not stream.ended and size <= limits.size:
        if stream.coming:
            piece = await stream.following(once=True)
        else:
            try:
                async with asyncio.timeout_at(ends):
                    piece = await stream.following(once=True)
            except TimeoutError:
                return
        if piece:
            size += len(piece)
            stream.held.append(piece)


class Beginning:
    """The first part of a body that does not stream, as much as may be held back of it. A Body: of all of it."""

    __slots__ = ("_body", "failure", "held", "size", "whole")

    def __init__(self, body: Body) -> None:
        self._body = body
        self.held: deque[bytes] = deque()
        self.size = 0
        self.whole = False  # all of it is held
        self.failure: GatewayError | None = None  # it ended before that

    async def hold(self, limits: Limits) -> None:
        """Read until it is whole, or may not be held any longer."""
        ends = 0.0
        while not self.whole and self.failure is None and self.size <= limits.size:
            try:
                if self._body.ready:
                    piece = await self._body.read()
                else:
                    ends = ends or asyncio.get_running_loop().time() + limits.seconds
                    async with asyncio.timeout_at(ends):
                        piece = await self._body.read()
            except TimeoutError:
                return
            except GatewayError as error:
                self.failure = error
                return
            self.whole = not piece
            if piece:
                self.size += len(piece)
                self.held.append(piece)

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return bool(self.held) or self.whole or self._body.ready

    async def read(self) -> bytes:
        if self.held:
            return self.held.popleft()
        return b"" if self.whole else await self._body.read()

    def close(self) -> None:
        self._body.close()
