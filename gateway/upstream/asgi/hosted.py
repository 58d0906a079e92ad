"""The way of a route to an application. The application itself is imported for the routes that have one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.http import Exchange, Response
from gateway.upstream.request import Timeouts
from gateway.upstream.websocket import WebSocketLimits

if TYPE_CHECKING:
    from gateway.upstream.asgi.application import Application


@dataclass(frozen=True, slots=True)
class Hosted:
    """An application as one route uses it. A Handler."""

    application: Application
    timeouts: Timeouts
    websocket: WebSocketLimits = field(default_factory=WebSocketLimits)

    @property
    def name(self) -> str:
        return self.application.name

    async def __call__(self, exchange: Exchange) -> Response:
        """Call the application. Raises GatewayError."""
        return await self.application.answer(exchange, self.timeouts, self.websocket)
