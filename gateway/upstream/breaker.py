"""The circuit breaker of one route and one service: it is asked before each exchange, and learns how that ended."""

from __future__ import annotations

import logging
import math
import random
import time
from dataclasses import dataclass
from functools import partial

from gateway.algorithms.circuit_breaker import REFUSED, BreakerSettings, CircuitBreaker, State
from gateway.config.values.instants import format_instant
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Response

logger = logging.getLogger("gateway.upstream")


class Breaker:
    """One breaker, live. It belongs to a route and its target, whatever a reload changes of either."""

    __slots__ = ("_logged", "circuit", "refused", "route", "settings", "target")

    def __init__(self, route: str, target: str, settings: BreakerSettings) -> None:
        self.route = route
        self.target = target
        self.settings = settings
        self.circuit = CircuitBreaker(settings, time.perf_counter(), random.random)
        self.refused = 0  # exchanges
        self._logged = State.CLOSED

    def configure(self, settings: BreakerSettings) -> None:
        """Judge by these from now on."""
        self.settings = settings
        self.circuit.configure(settings)

    def admit(self, now: float) -> int:
        """A permit for one exchange, which must be given to `ended` or `give_back`. Raises GatewayError."""
        permit = self.circuit.acquire(now)
        if permit == REFUSED:
            self.refused += 1
            circuit = self.circuit
            seconds = max(1, math.ceil(circuit.until - now)) if circuit.state is State.OPEN else 1
            detail = f"the breaker of route {self.route} for {self.target} is {circuit.state}: {circuit.reason}"
            raise GatewayError(
                ErrorKind.CIRCUIT_OPEN, detail, retryable=True, headers=((b"retry-after", b"%d" % seconds),)
            )
        return permit

    def ended(self, permit: int, seconds: float, now: float, *, failed: bool) -> None:
        """The exchange was answered after so long, or failed by the fault of the upstream."""
        circuit = self.circuit
        circuit.ended(permit, now, failed=failed, seconds=seconds)
        if circuit.state is not self._logged:
            self._log()

    def give_back(self, permit: int, *, answered: bool) -> None:
        """The exchange says nothing of the upstream."""
        self.circuit.give_back(permit, time.perf_counter(), answered=answered)

    def force(self, state: str, reason: str) -> None:
        """`open`, `closed`, or `auto`: judge by calls again."""
        now, circuit = time.perf_counter(), self.circuit
        act = {"open": circuit.force_open, "closed": circuit.force_closed, "auto": circuit.automatic}[state]
        act(now, reason)
        self._log()

    def _log(self) -> None:
        self._logged = state = self.circuit.state
        level = logging.WARNING if state in (State.OPEN, State.FORCED_OPEN) else logging.INFO
        logger.log(
            level, "the breaker of route %s for %s is %s: %s", self.route, self.target, state, self.circuit.reason
        )


@dataclass(frozen=True, slots=True)
class Breaking:
    """A handler behind a breaker. A Handler."""

    handler: Handler
    breaker: Breaker

    async def __call__(self, exchange: Exchange) -> Response:
        """Raises GatewayError where the breaker is open."""
        breaker, began = self.breaker, time.perf_counter()
        permit = breaker.admit(began)
        try:
            response = await self.handler(exchange)
        except GatewayError as error:
            if error.kind.origin == "upstream":
                now = time.perf_counter()
                breaker.ended(permit, now - began, now, failed=True)
            else:
                breaker.give_back(permit, answered=False)
            raise
        except BaseException:
            breaker.give_back(permit, answered=False)
            raise
        now, status = time.perf_counter(), response.status
        if 400 <= status < 500 or (status >= 500 and exchange.model is not None and exchange.model.stored):
            # What is stored may be at fault by itself: whoever asks for it must not close the way to the models.
            breaker.give_back(permit, answered=True)
        # A trial has passed with the head of its response: a stream may take longer than trials may.
        elif status >= 500 or isinstance(response.body, bytes) or breaker.circuit.state is State.HALF_OPEN:
            breaker.ended(permit, now - began, now, failed=status >= 500)
        else:
            exchange.defer(partial(_over, breaker, permit, now - began, exchange))
        return response

    def describe(self, exchange: Exchange) -> str:
        """See `Layer`."""
        report = self.breaker.circuit.report(time.perf_counter())
        return f"breaker for {self.breaker.target}: {report.state}, {report.reason}"

    def refusal(self, exchange: Exchange, now: float) -> str | None:
        """See `Refusing`."""
        report = self.breaker.circuit.report(now)
        what = f"the breaker of route {self.breaker.route} for {self.breaker.target} is {report.state}"
        if report.state is State.FORCED_OPEN:
            return f"{what}, until an operator changes it (PUT /breakers/{self.breaker.route}): {report.reason}"
        if report.until is not None and now < report.until:
            until = format_instant(time.time() + report.until - now)
            return f"{what} until {until}, for {report.until - now:.0f} s more: {report.reason}"
        if report.state is State.HALF_OPEN and self.breaker.circuit.trials_left <= 0:
            return f"{what}, and its trials are under way: {report.reason}"
        return None

    def inner(self, exchange: Exchange) -> Handler:
        """See `Layer`."""
        return self.handler


def _over(breaker: Breaker, permit: int, seconds: float, exchange: Exchange) -> None:
    """An exchange is over whose response was a stream: what became of it."""
    error = exchange.error
    kind = error.kind if isinstance(error, GatewayError) else None
    if kind is ErrorKind.CLIENT_GONE:
        breaker.give_back(permit, answered=True)
    else:
        failed = kind is not None and kind.origin == "upstream"
        breaker.ended(permit, seconds, time.perf_counter(), failed=failed)
