"""One rate limit of the configuration, compiled for one route."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.config.models import RouteConfig
from gateway.config.models.rate_limits import RateLimit as RateLimitConfig
from gateway.config.models.rate_limits import windows_of
from gateway.context import Context
from gateway.http import Identity
from gateway.http.decisions import Mode
from gateway.limits.exact import ExactStore
from gateway.limits.keys import Key, compile_key
from gateway.limits.leased import LeasedStore
from gateway.limits.memory import MemoryStore
from gateway.limits.store import LocalStore
from gateway.limits.windows import WindowSet
from gateway.live import Place
from gateway.outside.redis_link import REDIS_PLACE, RedisLink, redis_identity, redis_link

OnFailure = Literal["open", "closed", "local"]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The limits, their subjects, and their store: in `store`, or, if that is None, in Redis with every request.

    `fallback` counts while Redis does not answer, where on_failure is `local`.
    """

    name: str
    rule: str  # as decisions call it
    mode: Mode
    key: Key
    by_consumer: bool  # that key is the consumer, and nothing else
    cost: int
    windows: WindowSet
    tiers: tuple[tuple[str, WindowSet], ...]  # by group, the first that fits
    consumers: Mapping[str, WindowSet]  # what single consumers have instead
    on_failure: OnFailure
    store: LocalStore | None
    fallback: MemoryStore | None

    def windows_for(self, identity: Identity | None) -> WindowSet:
        """The limit of this caller: its own, or that of its tier, or that of all."""
        if identity is None:
            return self.windows
        own = self.consumers.get(identity.consumer)
        if own is not None:
            return own
        for group, windows in self.tiers:
            if group in identity.groups:
                return windows
        return self.windows


def rate_limits_of(
    context: Context, route: RouteConfig, names: Collection[str] | None
) -> Iterator[tuple[RateLimit, RedisLink | None]]:
    """The rate limits of a route (of these names, or all), each with the Redis in which it counts, if it does."""
    configuration = context.configuration
    for name, config in configuration.middleware.rate_limits.items():
        cost = config.costs.get(route.id, config.cost)
        if config.applies_to(route.id) and cost and (names is None or name in names):
            yield rate_limit_of(context, name, config, cost)


def rate_limit_of(
    context: Context, name: str, config: RateLimitConfig, cost: int
) -> tuple[RateLimit, RedisLink | None]:
    """One rate limit, compiled, with the Redis in which it counts, if it does."""
    link = redis_link(context) if config.store == "redis" else None
    limit = RateLimit(
        name=name,
        rule=f"rate_limit:{name}",
        mode=config.mode,
        key=compile_key(config.key),
        by_consumer=list(config.key) == ["consumer"],
        cost=cost,
        windows=WindowSet(name, windows_of(config.limits, config.burst)),
        tiers=tuple(
            (group, WindowSet(name, windows_of(limits, config.burst))) for group, limits in config.tiers.items()
        ),
        consumers={
            consumer.name: WindowSet(name, windows_of(consumer.limits[name], config.burst))
            for consumer in context.configuration.auth.consumers
            if name in consumer.limits
        },
        on_failure=config.on_failure,
        store=_store(context, name, config, link),
        fallback=_memory(context, name) if link is not None and config.on_failure == "local" else None,
    )
    return limit, link


def _store(context: Context, name: str, config: RateLimitConfig, link: RedisLink | None) -> LocalStore | None:
    if link is None:
        return _memory(context, name)
    if config.sync == "leased":
        key = ("limits.leased", name, *redis_identity(context))
        return context.plan.need(key, lambda: LeasedStore(name, redis_link(context)), _place(name))
    return None


def _memory(context: Context, name: str) -> MemoryStore:
    return context.plan.need(("limits.memory", name), MemoryStore, _place(name))


def _place(name: str) -> Place:
    return "middleware.yaml", ("rate_limits", name)


def exact_store(context: Context) -> ExactStore:
    """The counter in Redis for every request, the same for all limits."""
    return context.plan.need(
        ("limits.exact", *redis_identity(context)), lambda: ExactStore(redis_link(context)), REDIS_PLACE
    )
