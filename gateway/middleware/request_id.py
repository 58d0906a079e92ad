"""The id of a request: whose is taken, and who receives it.

The app gives every exchange its id before a route is known, so that a 404 has one, too: it asks `RequestIds`. What a
route adds to that is `RequestIdHeaders`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from gateway.config.models import RouteConfig
from gateway.config.models.request_id import RequestIds as RequestIdsConfig
from gateway.context import Context
from gateway.errors import GatewayError
from gateway.http import Exchange, Handler, Headers, Response
from gateway.http.fields import lines_of
from gateway.middleware.declaration import Declaration

_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_STANDARD: Final = b"x-request-id"  # what backends get, and what problem documents carry


@dataclass(frozen=True, slots=True)
class RequestIds:
    """Which id that came with a request is taken."""

    header: bytes = _STANDARD
    trust: Literal["proxies", "always", "never"] = "proxies"

    def given(self, headers: Headers, fields: dict[bytes, bytes], *, peer_trusted: bool) -> str | None:
        """The id of the request, if it came with one, which is well-formed and whose sender is trusted."""
        found = lines_of(headers, fields, self.header)
        value = found[0] if len(found) == 1 else None
        if value is None or self.trust == "never" or (self.trust == "proxies" and not peer_trusted):
            return None
        return value.decode("ascii") if _ID.fullmatch(value) else None


def request_ids(config: RequestIdsConfig) -> RequestIds:
    """The settings of the configuration."""
    return RequestIds(config.header.encode(), config.trust)


@dataclass(frozen=True, slots=True)
class RequestIdHeaders:
    """Sends the id to the backend, where the header is not the usual one, and to the client, where that is wanted."""

    header: bytes
    echo: bool

    def __repr__(self) -> str:
        return f"RequestIdHeaders({self.header.decode()}{', sent to clients' if self.echo else ''})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler whose responses carry the id."""
        header, echo, unusual = self.header, self.echo, self.header != _STANDARD
        hidden = frozenset({header.replace(b"_", b"-")})

        async def identified(exchange: Exchange) -> Response:
            line = (header, exchange.request_id.encode())
            if unusual:
                exchange.hidden_headers |= hidden
                exchange.extra_headers += (line,)
            try:
                response = await handler(exchange)
            except GatewayError as error:
                if echo and unusual:
                    error.headers += (line,)
                raise
            if echo:
                response.headers = [other for other in response.headers if other[0] != header]
                response.headers.append(line)
            return response

        return identified


def for_route(context: Context, route: RouteConfig) -> RequestIdHeaders | None:
    """The policy; None if only the default is needed."""
    config = context.configuration.middleware.request_id
    header = config.header.encode()
    return RequestIdHeaders(header, config.echo) if config.echo or header != _STANDARD else None


DECLARATION: Final[Declaration] = Declaration("request_id", for_route, compiled=True, by_hand=True)
