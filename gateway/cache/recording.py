"""A response body on its way to the client and into the store, whichever reads faster.

It is read into memory by a task of its own, so that neither a slow client nor one that goes away holds up those who
wait for what is stored. What turns out to be larger than may be stored is passed on from there as it comes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.algorithms.room import Room
from gateway.custom_code import is_failure
from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Body, Headers


class Recording:
    """A Body for the client. `kept` is called once, with the whole body, or with None where there is none to store.

    `release` lets go of the body that is recorded, and of all that it needs.
    """

    def __init__(
        self, body: Body, most: int, room: Room, kept: Callable[[bytes | None], None], release: Callable[[], None]
    ) -> None:
        self._body = body
        self._most = most
        self._room = room
        self._kept: Callable[[bytes | None], None] | None = kept
        self._release = release
        self._pieces: list[bytes] = []
        self._unread: deque[bytes] = deque()
        self._size = 0
        self.passes_on = False  # it is larger: what follows is read by the client
        self._over = False  # the whole body is here, or its error
        self._ran = False  # `run` has ended
        self._client_gone = False
        self._trailers: Headers = []
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Read it all, or as much as may be stored."""
        try:
            while piece := await self._body.read():
                if not self._take(piece):
                    self.passes_on = True
                    self._done(None)
                    break
            else:
                self._over = True
                self._trailers = self._body.trailers
                self._done(None if self._trailers else b"".join(self._pieces))  # which would not be whole without them
        except BaseException as error:
            self._over = True
            self._error = without_frames(error)
            self._done(None)
            if not is_failure(error):
                raise
        finally:
            self._ran = True
            self._pieces.clear()
            self._free()
            self._wake()
            if self._over or self._client_gone:
                self._release()

    def _take(self, piece: bytes) -> bool:
        """Whether it may be kept; the client gets it in any case."""
        if not self._client_gone:
            self._unread.append(piece)
        fits = self._size + len(piece) <= self._most and self._room.take(len(piece))
        if fits:
            self._size += len(piece)
            self._pieces.append(piece)
        self._wake()
        return fits

    def _free(self) -> None:
        """Give back the memory once it is read by no one any more."""
        if self._ran and not self._unread:
            self._room.give_back(self._size)
            self._size = 0

    def _done(self, whole: bytes | None) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept(whole)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the client reads.

    @property
    def trailers(self) -> Headers:
        return self._body.trailers if self.passes_on else self._trailers

    @property
    def ready(self) -> bool:
        return bool(self._unread) or self._over or (self.passes_on and self._body.ready)

    async def read(self) -> bytes:
        while True:
            if self._unread:
                piece = self._unread.popleft()
                self._free()
                return piece
            if self._over:
                if self._error is None:
                    return b""
                if isinstance(self._error, GatewayError):
                    raise self._error
                raise GatewayError(ErrorKind.UPSTREAM_RESET, "the response was cut short") from self._error
            if self.passes_on:
                return await self._body.read()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def close(self) -> None:
        """The client wants no more of it."""
        self._client_gone = True
        self._unread.clear()
        self._free()
        if self.passes_on:
            self._release()
