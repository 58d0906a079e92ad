"""Refuses request bodies over a limit: at once where the length is announced, otherwise when it is reached (413)."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response, WrappedBody
from gateway.middleware.declaration import Declaration


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """At most `limit` bytes."""

    limit: int

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses what is larger, and leaves the rest to `handler`."""

        def limited(exchange: Exchange) -> Awaitable[Response]:
            body = exchange.body
            if body is not None:
                announced = int(exchange.fields.get(b"content-length", b"0"))
                if announced > self.limit:
                    raise self._too_large()
                if not announced:
                    # A body of unknown length, counted as it passes.
                    received = 0

                    async def read() -> bytes:
                        nonlocal received
                        data = await body.read()
                        received += len(data)
                        self.check(received)
                        return data

                    exchange.body = WrappedBody(body, read)
            return handler(exchange)

        return limited

    async def explain(self, exchange: Exchange) -> Decision | None:
        """Whether the announced length is too much; nothing to say where none is announced."""
        announced = exchange.fields.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self.limit:
            return Decision("body_limit", "deny", self._too_large().detail)
        return None

    def _too_large(self) -> GatewayError:
        return GatewayError(ErrorKind.BODY_TOO_LARGE, f"this route takes at most {self.limit} bytes")

    def check(self, received: int) -> None:
        """Raises GatewayError once more than the limit has come."""
        if received > self.limit:
            raise self._too_large()


def for_route(context: Context, route: RouteConfig) -> BodyLimit:
    """Every route has a limit: its own, or that of all."""
    return BodyLimit(context.configuration.middleware.limits.body if route.max_body is None else route.max_body)


DECLARATION: Final[Declaration] = Declaration(
    "body_limit", for_route, before={"policies": "a policy that reads the body reads any amount"}, compiled=True
)
