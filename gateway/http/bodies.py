"""Streams: bodies of messages, and WebSockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

Headers = list[tuple[bytes, bytes]]
"""Header lines in their order; names in lower case, values without surrounding white space."""

Take = Callable[[bytes], bool]
"""Takes a piece of a body, at once. Returns whether it would take another one now."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


_CHUNK_STARTS: Final = tuple(b"%x\r\n" % size for size in range(1024))


def chunk(piece: bytes) -> bytes:
    """One chunk (RFC 9112, 7.1). `piece` is not empty: an empty chunk would end the body."""
    size = len(piece)
    if size < len(_CHUNK_STARTS):  # as events are: formatting costs three times as much
        return _CHUNK_STARTS[size] + piece + b"\r\n"
    return b"%x\r\n%b\r\n" % (size, piece)


class Body(Protocol):
    """A message body that streams: the request's, read by the upstream side, or the response's, read by the app."""

    @property
    def trailers(self) -> Headers:
        """The trailer section; complete once `read` has answered b""."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `read` would answer at once."""
        ...

    async def read(self) -> bytes:
        """The next piece, of any size above zero; b"" at the end. Raises GatewayError when the body is cut short."""
        ...

    def close(self) -> None:
        """Give up what is still to come, and free what it holds. Safe to call at any time, any number of times."""
        ...


def trailers_of(body: Body) -> Headers:
    """The trailers of a body that has been read; none where a stream of custom code has no such member."""
    trailers: Headers = getattr(body, "trailers", [])
    return trailers


class WebSocketSession(Protocol):
    """An upstream that takes this WebSocket, ready to be joined to the client's."""

    handshake: Headers  # the lines of the 101 that are about the WebSocket, beside Connection and Upgrade

    async def run(self, receive: Receive, send: Send, headers: Headers) -> None:
        """Accept the client of an ASGI server with these headers, and carry messages both ways until either side ends.
        Takes `websocket.connect` itself."""
        ...

    def close(self, code: int) -> None:
        """End both sides with this close code (RFC 6455, 7.4.1)."""
        ...


class AtHand:
    """A Body of which all may have come already."""

    __slots__ = ()

    def take(self, most: int) -> bytes:
        """All of it, if that has come, is no more than so many bytes and has no trailers; b"" where it is left to
        `read`."""
        return b""


class Flowing:
    """A Body whose pieces can be taken where they come in, without a task and a turn of the loop in between."""

    __slots__ = ()

    async def flow(self, take: Take) -> bool:
        """Have pieces taken as they come. Returns whether there is more, of which `take` wants none for now. Raises
        GatewayError when the body is cut short, and what `take` raises."""
        raise NotImplementedError


async def flow(body: Body, take: Take) -> bool:
    """The same of any body: one that does not flow is read piece by piece."""
    if isinstance(body, Flowing):
        return await body.flow(take)
    while piece := await body.read():
        if not take(piece):
            return True
    return False


class WholeBody(AtHand):
    """A Body that is there as a whole, with its trailers."""

    __slots__ = ("_data", "trailers")

    def __init__(self, data: bytes, trailers: Headers) -> None:
        self._data = data
        self.trailers = trailers

    @property
    def ready(self) -> bool:
        return True

    @property
    def size(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data)

    def take(self, most: int) -> bytes:
        if self.trailers or len(self._data) > most:
            return b""
        data, self._data = self._data, b""
        return data

    async def read(self) -> bytes:
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        self._data = b""


class WrappedBody:
    """A body whose pieces are read through `read`, which counts, keeps or changes them. All else is `body`'s own.

    `ready` says whether `read` would answer at once, where that is not what `body` says.
    """

    __slots__ = ("_body", "_read", "_ready")

    def __init__(
        self, body: Body, read: Callable[[], Awaitable[bytes]], ready: Callable[[], bool] | None = None
    ) -> None:
        self._body = body
        self._read = read
        self._ready = ready

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return self._body.ready if self._ready is None else self._ready()

    async def read(self) -> bytes:
        return await self._read()

    def close(self) -> None:
        self._body.close()


class Expectation:
    """A client that may wait for a 100 (Continue) before it sends its body (RFC 9110, 10.1.1)."""

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending = True  # until its body is read, which is when it gets the 100
