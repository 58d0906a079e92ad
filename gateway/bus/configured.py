"""The bus that a configuration asks for."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from gateway.bus.bus import Bus
from gateway.bus.memory import MemoryBus
from gateway.bus.redis import RedisBus
from gateway.context import Context
from gateway.live import Place
from gateway.outside.redis_link import redis_identity, redis_link

PLACE: Final[Place] = ("middleware.yaml", ("bus",))


def bus_identity(context: Context) -> Hashable:
    """The settings that identify a bus."""
    return redis_identity(context) if context.configuration.middleware.bus == "redis" else None


def bus_of(context: Context) -> Bus:
    """The same for all."""

    def make() -> Bus:
        if context.configuration.middleware.bus == "redis":
            return RedisBus(redis_link(context))
        return MemoryBus()

    return context.plan.need(("bus", bus_identity(context)), make, PLACE)
