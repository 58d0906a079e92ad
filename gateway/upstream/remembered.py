"""Remembers failures of endpoints that have left their service, in case they return soon."""

from __future__ import annotations

from typing import Final

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Signal
from gateway.upstream.member import Address

SECONDS: Final = 300.0
"""Seconds for which an endpoint is remembered: the longest ejection."""

LIMIT: Final = 1024  # endpoints, of which each takes one or two kilobytes


class Remembered:
    """Those of one service. Times are those of time.perf_counter()."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[Address, tuple[float, Endpoint]] = {}  # until when

    def keep(self, endpoint: Endpoint, now: float) -> None:
        """One has left."""
        _forget_source(endpoint)
        if endpoint.health.out(now) is None and endpoint.held is None and endpoint.health.record.clean:
            return
        self._kept = {address: kept for address, kept in self._kept.items() if now < kept[0]}
        if len(self._kept) >= LIMIT:
            del self._kept[next(iter(self._kept))]
        self._kept[endpoint.address] = now + SECONDS, endpoint

    def recall(self, endpoint: Endpoint, now: float) -> None:
        """One has come: it is what it was."""
        kept = self._kept.get(endpoint.address)
        if kept is not None and now < kept[0]:
            endpoint.remember(kept[1])
            _forget_source(endpoint)  # which may have spoken, for a set that was replaced before it was used


def _forget_source(endpoint: Endpoint) -> None:
    endpoint.health.forget(Signal.SOURCE)
    endpoint.health.forget(Signal.HEARTBEAT)
