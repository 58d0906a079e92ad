"""Makes the cache of a route from the configuration."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Final

from gateway.algorithms.http_cache.reuse import Leeway
from gateway.auth.scheme import Locations
from gateway.auth.schemes import schemes_of
from gateway.cache.cache import Cache
from gateway.cache.keys import Keys
from gateway.cache.memory import MemoryStore
from gateway.cache.redis import RedisStore
from gateway.cache.request import Rules
from gateway.cache.route import RouteCache
from gateway.config.models import RouteConfig
from gateway.config.models.cache import Cache as CacheConfig
from gateway.context import Context
from gateway.live import Place
from gateway.outside.redis_link import redis_identity, redis_link

PLACE: Final[Place] = ("middleware.yaml", ("cache",))


def route_cache(context: Context, route: RouteConfig) -> RouteCache:
    """The cache of a route that has one, the same for all that ask for it."""
    keys = context.once("cache keys", lambda: _keys(context))
    return context.once(("cache", route.id), lambda: RouteCache(cache_of(context), keys, _rules(context, route)))


def cache_of(context: Context) -> Cache:
    """The state that all routes share. Another size resizes it; another store makes a new cache."""
    config = _config(context)
    if config.store == "redis":
        identity = ("cache", "redis", *redis_identity(context))
        cache = context.plan.need(identity, lambda: Cache(RedisStore(redis_link(context), config.size)), PLACE)
    else:
        cache = context.plan.need(("cache", "memory"), lambda: Cache(MemoryStore(config.size)), PLACE)
    context.once("cache size", lambda: context.plan.after_adoption(lambda: cache.resize(config.size)))
    return cache


def _config(context: Context) -> CacheConfig:
    return context.configuration.middleware.cache or CacheConfig()


def _rules(context: Context, route: RouteConfig) -> Rules:
    config, own = _config(context), route.cache
    changed = own.model_dump(exclude_none=True, include=set(CacheConfig.model_fields)) if own is not None else {}
    config = config.model_copy(update=changed)
    return Rules(
        route=route.id,
        target=route.target,
        max_body=config.max_body,
        wait=config.wait,
        keep_stale=max(config.keep_stale, config.stale_if_error, config.stale_while_revalidate),
        leeway=Leeway(config.stale_while_revalidate, config.stale_if_error),
        heuristic=config.heuristic,
        with_credentials=own is not None and own.with_credentials,
        by_prefix=route.restores_places,
        stale_copies=route.fallback is not None and route.fallback.stale,
        vary=tuple(name.encode() for name in own.vary) if own is not None else (),
    )


def _keys(context: Context) -> Keys:
    locations = reduce(or_, (scheme.locations for scheme in schemes_of(context).values()), Locations())
    # Headers of requests by which a service that is asked finds out who calls.
    services = (
        config.forward_auth for config in context.configuration.auth.schemes.values() if config.forward_auth is not None
    )
    return Keys(locations, frozenset(name.encode() for service in services for name in service.request_headers))
