"""The way of a route to an application. The application itself is imported for the routes that have one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.http import Exchange, Response
from gateway.upstream.request import Timeouts
from gateway.upstream.websocket import WebSocketLimits

if TYPE_CHECKING:
    from gateway.upstream.asgi.application import Application


class Applications:
    """All that this process has used. One that a route leads to again is the same one, be it that it still ends."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], Application] = {}

    def at(self, module: str, attribute: str) -> Application:
        """The application that a target names. Raises ImportError, AttributeError or TypeError."""
        if (module, attribute) not in self._all:
            from gateway.upstream.asgi.application import import_application  # noqa: PLC0415

            self._all[module, attribute] = import_application(module, attribute)
        return self._all[module, attribute]

    async def stop(self) -> None:
        """Stop them, those included that no route leads to any more."""
        await asyncio.gather(*(application.stop() for application in list(self._all.values())))


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
