"""A custom policy for the tests."""

from __future__ import annotations

from gateway.http import Exchange, Handler, Response


class Mine:
    """Refuses, but for a client that knows that it was started."""

    def __init__(self) -> None:
        self.started = False

    async def start(self) -> None:
        self.started = True

    def wrap(self, handler: Handler) -> Handler:
        async def asked(exchange: Exchange) -> Response:
            if self.started and exchange.fields.get(b"x-started") == b"yes":
                return await handler(exchange)
            return Response(418, [(b"content-length", b"0")])

        return asked
