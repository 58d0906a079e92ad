"""How many requests a service has at once, whichever route they come by: a fixed number, or one that adapts."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final

from gateway.algorithms.adaptive_concurrency import GradientLimit, GradientSettings
from gateway.algorithms.fixed_concurrency import FixedLimit
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Response
from gateway.plurals import counted

LATER: Final = ((b"retry-after", b"1"),)


class ServiceLimit:
    """The limit of one service, live."""

    def __init__(self, service: str, settings: int | GradientSettings) -> None:
        self.service = service
        self.settings = settings
        self.refused = 0  # requests
        self.limit: FixedLimit | GradientLimit = (
            FixedLimit(settings)
            if isinstance(settings, int)
            else GradientLimit(settings, time.perf_counter(), random.random)
        )

    def configure(self, settings: int | GradientSettings) -> None:
        """Take other settings of the same kind."""
        self.settings = settings
        if isinstance(settings, int) and isinstance(self.limit, FixedLimit):
            self.limit.limit = settings
        elif isinstance(settings, GradientSettings) and isinstance(self.limit, GradientLimit):
            self.limit.configure(settings)

    def admit(self, now: float) -> None:
        """Count one more request. Raises GatewayError where there are too many."""
        if not self.limit.acquire(now):
            self.refused += 1
            detail = f"{self.service} has {counted(self.limit.in_flight, 'request')} at once, which is its limit"
            raise GatewayError(ErrorKind.CONCURRENCY_LIMIT, detail, retryable=True, headers=LATER)


@dataclass(frozen=True, slots=True)
class Limited:
    """A handler behind the limit of its service. A Handler."""

    handler: Handler
    limit: ServiceLimit

    async def __call__(self, exchange: Exchange) -> Response:
        """Raises GatewayError where the service has too many requests."""
        if exchange.websocket:
            return await self.handler(exchange)
        limit, began = self.limit.limit, time.perf_counter()
        self.limit.admit(began)
        try:
            response = await self.handler(exchange)
        except BaseException:
            limit.lost()
            raise
        if isinstance(response.body, bytes):
            limit.ended(began, time.perf_counter())
        else:
            exchange.defer(lambda: limit.ended(began, time.perf_counter()))
        return response

    def describe(self, exchange: Exchange) -> str:
        """See `Layer`."""
        limit = self.limit.limit
        return f"concurrency of {self.limit.service}: {limit.in_flight} of {counted(limit.limit, 'request')} at once"

    def refusal(self, exchange: Exchange, now: float) -> str | None:
        """See `Refusing`."""
        limit = self.limit.limit
        if exchange.websocket or limit.in_flight < limit.limit:
            return None
        return f"{self.limit.service} has {counted(limit.in_flight, 'request')} at once, which is its limit"

    def inner(self, exchange: Exchange) -> Handler:
        """See `Layer`."""
        return self.handler
