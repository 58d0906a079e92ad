"""Refuses request bodies over a limit: at once where the length is announced, otherwise when it is reached (413)."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from gateway.config.model_routes import target_of
from gateway.config.models import RouteConfig
from gateway.config.models.llm.paths import MODELS
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Response, WrappedBody
from gateway.http.media import is_form
from gateway.middleware.declaration import Declaration


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """At most `limit` bytes, and of a form (`multipart/form-data`) at most `forms`, where that is given."""

    limit: int
    forms: int | None = None

    def __repr__(self) -> str:
        forms = "" if self.forms is None else f", of forms {self.forms}"
        return f"BodyLimit({self.limit} bytes{forms})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses what is larger, and leaves the rest to `handler`."""

        def limited(exchange: Exchange) -> Awaitable[Response]:
            body = exchange.body
            if body is not None:
                announced = int(exchange.fields.get(b"content-length", b"0"))
                if announced > self.limit:
                    self._check(exchange, announced)
                if not announced:
                    # A body of unknown length, counted as it passes.
                    received = 0

                    async def read() -> bytes:
                        nonlocal received
                        data = await body.read()
                        received += len(data)
                        self._check(exchange, received)
                        return data

                    exchange.body = WrappedBody(body, read)
            return handler(exchange)

        return limited

    async def explain(self, exchange: Exchange) -> Decision | None:
        """Whether the announced length is too much; nothing to say where none is announced."""
        announced = exchange.fields.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > (most := self._most(exchange)):
            return Decision("body_limit", "deny", _too_large(most).detail)
        return None

    def _most(self, exchange: Exchange) -> int:
        if self.forms is None or not is_form(exchange.fields.get(b"content-type", b"")):
            return self.limit
        return self.forms

    def _check(self, exchange: Exchange, size: int) -> None:
        """Raises GatewayError where that is more than the limit."""
        if size > self.limit and size > (most := self._most(exchange)):
            raise _too_large(most)


def _too_large(most: int) -> GatewayError:
    return GatewayError(ErrorKind.BODY_TOO_LARGE, f"this route takes at most {most} bytes")


def for_route(context: Context, route: RouteConfig) -> BodyLimit:
    """Every route has a limit: its own, or that of all. Forms for models pass as they come, and may be larger than what
    is read before it is sent."""
    limit = context.configuration.middleware.limits.body if route.max_body is None else route.max_body
    models = context.configuration.models
    if models is None or "max_body" in route.model_fields_set or target_of(route, models) != MODELS:
        return BodyLimit(limit)
    return BodyLimit(limit, max(limit, models.max_upload))


DECLARATION: Final[Declaration] = Declaration(
    "body_limit",
    for_route,
    before={"policies": "a policy that reads the body reads any amount"},
    compiled=True,
    by_hand=True,
)
