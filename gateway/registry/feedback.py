"""Feedback of monitors about instances (`health-feedback`), as it reaches discovery."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from gateway.bus.bus import Bus, Received, Subscription
from gateway.config.values.addresses import parse_address
from gateway.events import HealthFeedback
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Signal
from gateway.upstream.member import Address
from gateway.upstream.service import Upstream

logger = logging.getLogger("gateway.registry")

FEEDBACK_SECONDS: Final = 60.0  # for which a message holds


class FeedbackListener:
    """Takes the messages of the bus. Those about what is not here are for other gateways."""

    def __init__(self, bus: Bus, upstreams: Callable[[], Iterable[Upstream]]) -> None:
        self._bus = bus
        self._upstreams = upstreams
        self._subscription: Subscription | None = None
        self._min_endpoints = 1  # that agents leave in of a service
        self.refused = 0  # messages of agents, because of that

    async def start(self) -> None:
        """Begin."""
        self._subscription = self._bus.subscribe(HealthFeedback, self._take)

    def heed_agents(self, min_endpoints: int) -> None:
        """Agents leave in at least so many endpoints of a service from now on."""
        self._min_endpoints = min_endpoints

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        return {"gateway_agents_feedback_refused_total": self.refused}

    async def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            self._subscription.end()

    async def _take(self, message: HealthFeedback, received: Received) -> None:
        with contextlib.suppress(NoSuchInstance, ValueError):
            upstream, endpoint = endpoint_of(self._upstreams(), message)
            if message.status == "passing" or self._may_leave(upstream, endpoint, message):
                heed(upstream, endpoint, message, received.age)

    def _may_leave(self, upstream: Upstream, endpoint: Endpoint, message: HealthFeedback) -> bool:
        if message.by is None:
            return _may_leave(upstream, endpoint)
        now, settings = time.perf_counter(), upstream.settings.outliers
        others = [each for each in upstream.endpoints if each is not endpoint]
        left = sum(each.health.out(now) is None for each in others)
        most = 100.0 if settings is None else settings.max_ejected
        if left >= self._min_endpoints and 100 * (len(upstream.endpoints) - left) <= most * len(upstream.endpoints):
            return True
        self.refused += 1
        logger.warning(
            "%s: %s stays in, whatever %s says: %d of %d endpoints would be left (agents.min_endpoints, outliers)",
            upstream.name,
            endpoint.label,
            message.by,
            left,
            len(upstream.endpoints),
        )
        return False


def _may_leave(upstream: Upstream, endpoint: Endpoint) -> bool:
    """Whether an endpoint may be left out for what a monitor computed: by the settings of outliers of its service."""
    settings = upstream.settings.outliers
    if settings is None:
        return False
    left = 1 + sum(each.out for each in upstream.endpoints if each is not endpoint)
    if left < len(upstream.endpoints) and 100 * left <= settings.max_ejected * len(upstream.endpoints):
        return True
    logger.info("%s: %s stays in, because %d others are out already", upstream.name, endpoint.label, left - 1)
    return False


class NoSuchInstance(Exception):
    """Unknown service or instance. The text says which, and the remedy."""


def endpoint_of(upstreams: Iterable[Upstream], message: HealthFeedback) -> tuple[Upstream, Endpoint]:
    """The subject of a message. Raises NoSuchInstance; ValueError if its instance is not an address."""
    try:
        address = Address(*parse_address(message.instance))
    except ValueError as error:
        raise ValueError(f"instance: {error}") from None
    named = [upstream for upstream in upstreams if upstream.name == message.service]
    if not named:
        raise NoSuchInstance(f"service: no route leads to {message.service:.80}, so it has no instances here")
    for upstream in named:
        for endpoint in upstream.endpoints:
            if endpoint.address == address:
                return upstream, endpoint
    remedy = "GET /registry lists those that it has"
    raise NoSuchInstance(f"instance: {message.service} has none at {address}; {remedy}")


def heed(upstream: Upstream, endpoint: Endpoint, message: HealthFeedback, age: float = 0.0) -> None:
    """Go by a message that is so many seconds old. Agents take back only what agents said; a monitor, both."""
    said = Signal.FEEDBACK if message.by is None else Signal.AGENTS
    if message.status == "passing":
        for signal in {said, Signal.AGENTS}:
            upstream.forget(endpoint, signal)
    elif age < FEEDBACK_SECONDS:
        now = time.perf_counter()
        rate = "" if message.error_rate is None else f", {message.error_rate:.0%} errors"
        reason, until = f"{message.by or 'a monitor'} says failing{rate}", now + FEEDBACK_SECONDS - age
        upstream.report(endpoint, said, up=False, reason=reason, now=now, until=until)
