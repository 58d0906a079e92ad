"""Bodies and responses while a custom policy has them, which may change, read or close them."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final, NoReturn

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Headers, Response, WrappedBody

logger = logging.getLogger("gateway.policy")

MOST_KEPT: Final = 16 * 1024 * 1024
"""Bytes of a body that are kept while a policy in shadow mode has it. Where it refuses after more, nothing is left."""


class LentBody:
    """A Body that knows whether something was taken of it. One that is `kept` stays open, with all that was read of it,
    until it is let go."""

    __slots__ = ("_body", "_closed", "_kept", "_read", "_size")

    def __init__(self, body: Body, *, kept: bool) -> None:
        self._body = body
        self._read = False
        self._size = 0  # of what was to be kept
        self._kept: deque[bytes] | None = deque() if kept else None
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
                self._size += len(piece)
                self._kept.append(piece)
                if self._size > MOST_KEPT:
                    self._kept.clear()
        return piece

    def close(self) -> None:
        self._closed = True
        if self._kept is None:
            self._body.close()

    def let_go(self) -> None:
        """Keep it no longer."""
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
        """All of it, if it is kept."""
        body, pieces = self._body, self._kept
        if pieces is None or not self._size:
            return body
        lost = self._size > MOST_KEPT

        async def read() -> bytes:
            if lost:
                most = f"{MOST_KEPT // 1024 // 1024} MiB"
                detail = f"a policy in shadow mode refused after it had read more than {most} of a body, which is gone"
                logger.error(detail)
                raise GatewayError(ErrorKind.INTERNAL, detail)
            return pieces.popleft() if pieces else await body.read()

        return WrappedBody(body, read, lambda: bool(pieces) or body.ready)


class KeptResponse:
    """A response as it came, while a policy in shadow mode has it."""

    __slots__ = ("_body", "_headers", "_lent", "_session", "_status")

    def __init__(self, response: Response) -> None:
        self._status, self._headers, self._session = response.status, list(response.headers), response.session
        self._body = body = response.body
        self._lent: LentBody | None = None
        if not isinstance(body, bytes):
            response.body = self._lent = LentBody(body, kept=True)

    def let_go(self, passed: Response | None) -> None:
        """It is not needed any more. `passed` goes out in its place, and is the same as a rule."""
        if self._lent is not None:
            self._lent.let_go()
            if passed is not None and passed.body is self._lent:
                passed.body = self._body

    def restored(self) -> Response:
        """The response, as if nobody had had it."""
        body = self._body if self._lent is None else self._lent.restored()
        return Response(self._status, self._headers, body, self._session)
