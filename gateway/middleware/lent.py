"""Bodies and responses while a custom policy has them, which may change, read or close them."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final, NoReturn

from gateway.algorithms.room import Room
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Headers, Response, WrappedBody

logger = logging.getLogger("gateway.policy")

MOST_KEPT: Final = 16 * 1024 * 1024
"""Bytes of a body that are kept while a policy in shadow mode has it. Where it refuses after more, nothing is left."""

MOST_KEPT_TOGETHER: Final = 256 * 1024 * 1024
"""The same of all bodies of the process, with what it takes to keep them."""

PIECE: Final = 64
"""Bytes that a piece of one takes beside its own."""


def room_for_all() -> Room:
    """That of all bodies of the process."""
    return Room(MOST_KEPT_TOGETHER)


class LentBody:
    """A Body that knows whether something was taken of it. One that there is `room` for stays open, with all that was
    read of it, until it is let go."""

    __slots__ = ("_body", "_closed", "_kept", "_lost", "_read", "_room", "_size", "_taken")

    def __init__(self, body: Body, room: Room | None) -> None:
        self._body = body
        self._read = False
        self._size = 0  # of what was to be kept
        self._taken = 0  # of the room
        self._kept: deque[bytes] | None = None if room is None else deque()
        self._room = room or Room(0)
        self._lost = ""  # why it could not be kept
        self._closed = False

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return self._closed or self._body.ready

    async def read(self) -> bytes:
        if self._closed and self._kept is not None:
            return b""
        piece = await self._body.read()
        if piece:
            self._read = True
            if self._kept is not None:
                self._keep(piece, self._kept)
        return piece

    def _keep(self, piece: bytes, kept: deque[bytes]) -> None:
        self._size += len(piece)
        needed = len(piece) + PIECE
        if self._size > MOST_KEPT:
            self._lost = f"more than {MOST_KEPT >> 20} MiB of a body, which is gone"
        elif not self._room.take(needed):
            self._lost = f"a body, which is gone: {self._room.size >> 20} MiB are kept for such policies already"
        if self._lost:
            kept.clear()
            self._leave_room(self._taken)
        else:
            kept.append(piece)
            self._taken += needed

    def _leave_room(self, size: int) -> None:
        size = min(size, self._taken)  # nothing is taken once it is let go
        self._room.give_back(size)
        self._taken -= size

    def close(self) -> None:
        self._closed = True
        if self._kept is None:
            self._body.close()

    def let_go(self) -> None:
        """Keep it no longer; what it was restored to has it all the same."""
        self._leave_room(self._taken)
        self._kept = None
        if self._closed:
            self._body.close()

    def handed_on(self, policy: str, request: str) -> Body:
        """What goes on to the backend. Where something was taken, it raises as soon as it is read: the backend would
        take what is left for the whole, and a body without an announced length does not show that it is not."""
        if not self._read and not self._closed:
            return self._body

        async def read() -> NoReturn:
            detail = (
                f'policy "{policy}" has read the request body, or closed it, and the backend would get what is left: '
                "read all of it, and set exchange.body = WholeBody(data, exchange.body.trailers) before you call the "
                "handler"
            )
            logger.error("request %s: %s", request, detail)
            raise GatewayError(ErrorKind.INTERNAL, detail)

        return WrappedBody(self._body, read)

    def restored(self) -> Body:
        """All of it, if it is kept. It raises as soon as it is read, where it could not be."""
        body, pieces = self._body, self._kept
        if pieces is None or not self._size:
            return body

        async def read() -> bytes:
            self.require()
            if not pieces:
                return await body.read()
            piece = pieces.popleft()
            self._leave_room(len(piece) + PIECE)
            return piece

        return WrappedBody(body, read, lambda: bool(pieces) or body.ready)

    def require(self) -> None:
        """Raise where it could not be kept."""
        if self._lost:
            detail = f"a policy in shadow mode refused after it had read {self._lost}"
            logger.error(detail)
            raise GatewayError(ErrorKind.INTERNAL, detail)


class KeptResponse:
    """A response as it came, while a policy in shadow mode has it."""

    __slots__ = ("_body", "_headers", "_lent", "_session", "_status")

    def __init__(self, response: Response, room: Room) -> None:
        self._status, self._headers, self._session = response.status, list(response.headers), response.session
        self._body = body = response.body
        self._lent: LentBody | None = None
        if not isinstance(body, bytes):
            response.body = self._lent = LentBody(body, room)

    def let_go(self, passed: Response | None = None) -> None:
        """It is not needed any more. `passed` goes out in its place, and is the same as a rule."""
        if self._lent is not None:
            self._lent.let_go()
            if passed is not None and passed.body is self._lent:
                passed.body = self._body

    def restored(self) -> Response:
        """The response, as if nobody had had it. Raises where it could not be kept, as long as it can be said."""
        body = self._body
        if self._lent is not None:
            self._lent.require()
            body = self._lent.restored()
        return Response(self._status, self._headers, body, self._session)
