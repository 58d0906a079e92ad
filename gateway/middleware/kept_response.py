"""A response as it came, while a custom policy in shadow mode has it, which may change, read or close it."""

from __future__ import annotations

from collections import deque

from gateway.http import Body, Headers, Response, WrappedBody


class KeptResponse:
    """One of them."""

    __slots__ = ("_body", "_headers", "_session", "_status", "_stream")

    def __init__(self, response: Response) -> None:
        self._status, self._headers, self._session = response.status, list(response.headers), response.session
        self._body = body = response.body
        self._stream: _KeptStream | None = None
        if not isinstance(body, bytes):
            response.body = self._stream = _KeptStream(body)

    def let_go(self, passed: Response | None) -> None:
        """It is not needed any more. `passed` goes out in its place, and is the same as a rule."""
        if self._stream is not None:
            self._stream.let_go()
            if passed is not None and passed.body is self._stream:
                passed.body = self._body

    def restored(self) -> Response:
        """The response, as if nobody had had it."""
        body = self._body if self._stream is None else self._stream.restored()
        return Response(self._status, self._headers, body, self._session)


class _KeptStream:
    """A Body: what is read of it is kept, and it stays open, until it is let go."""

    __slots__ = ("_body", "_closed", "_read")

    def __init__(self, body: Body) -> None:
        self._body = body
        self._read: deque[bytes] | None = deque()  # None where it is let go
        self._closed = False

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return self._closed or self._body.ready

    async def read(self) -> bytes:
        if self._closed:
            return b""
        piece = await self._body.read()
        if piece and self._read is not None:
            self._read.append(piece)
        return piece

    def close(self) -> None:
        self._closed = True
        if self._read is None:
            self._body.close()

    def let_go(self) -> None:
        self._read = None
        if self._closed:
            self._body.close()

    def restored(self) -> Body:
        """All of it."""
        body, pieces = self._body, self._read
        if not pieces:
            return body

        async def read() -> bytes:
            return pieces.popleft() if pieces else await body.read()

        return WrappedBody(body, read, lambda: bool(pieces) or body.ready)
