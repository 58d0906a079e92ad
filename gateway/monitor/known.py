"""The names in a configuration that are labels of metrics. Made with the configuration, outside of requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from gateway.config.model_routes import endpoint_of, target_of
from gateway.config.models import AuthFile, Consumer, MiddlewareFile, RouteConfig
from gateway.families import Family, Labels, gauge
from gateway.monitor.traffic import NONE, upstream_name

if TYPE_CHECKING:
    from gateway.config.models.llm.file import ModelsFile

KEYS: Final = 1000
"""API keys with an expiry that get a series: the earliest."""

_FINGERPRINT: Final = len("sha256:") + 12  # characters, as logs have it
_RULES: Final = frozenset({"rate_limit", "quota", "policy", "authentication"})
_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """Names of one configuration."""

    ways: Mapping[str, frozenset[str]] = field(default_factory=dict)  # the upstreams of each route, by its id
    consumers: frozenset[str] = _NOTHING
    tenants: frozenset[str] = _NOTHING
    rules: frozenset[str] = _NOTHING  # of the kinds in _RULES, as decisions name them
    keys: Mapping[Labels, float] = field(default_factory=dict)  # Unix time of their ends, by consumer and fingerprint
    providers: frozenset[str] = _NOTHING  # of models

    def leads(self, route: str, upstream: str) -> bool:
        """Whether there is a route of this name, with a way to an upstream of that name."""
        ways = self.ways.get(route)
        return ways is not None and (upstream == NONE or upstream in ways)

    def has_rule(self, rule: str) -> bool:
        """Whether there is a rule of this name; True for those that have none of their own in the files."""
        kind, _, name = rule.partition(":")
        return not name or kind not in _RULES or rule in self.rules

    def metrics(self) -> Iterator[Family]:
        """Metrics of expiries."""
        help = "When an API key ends that has an end, by consumer and fingerprint; the first 1,000 to end."
        name = "gateway_api_key_expiry_timestamp_seconds"
        yield gauge(name, help, self.keys, ("consumer", "key"), "last")


def known_of(
    routes: Iterable[RouteConfig],
    own: Iterable[str],
    consumers: Iterable[Consumer],
    rules: Iterable[str] = (),
    models: ModelsFile | None = None,
) -> Known:
    """The names in the files; `own` are the names of the gateway's own answers, `rules` those of `rules_of`."""
    callers = list(consumers)
    named = lru_cache(maxsize=None)(upstream_name)
    ways = {route.id: frozenset(map(named, _targets(route, models))) for route in routes}
    return Known(
        ways | dict.fromkeys((NONE, *own), _NOTHING),
        frozenset(consumer.name for consumer in callers),
        frozenset(consumer.tenant for consumer in callers if consumer.tenant),
        frozenset(rules),
        dict(nsmallest(KEYS, _keys(callers), key=lambda item: item[1])),
        frozenset(() if models is None else models.in_force),
    )


def rules_of(middleware: MiddlewareFile, auth: AuthFile) -> Iterator[str]:
    """Rules by the names of their own that they have in the files."""
    yield from (f"rate_limit:{name}" for name in middleware.rate_limits)
    yield from (f"quota:{name}" for name in middleware.quotas)
    yield from (f"policy:{name}" for name in middleware.policies)
    yield from (f"authentication:{name}" for name in auth.schemes)


def _targets(route: RouteConfig, models: ModelsFile | None) -> Iterator[str]:
    """All that requests of a route may be sent to, but for copies of them."""
    yield route.target
    kind = target_of(route, models)
    if models is not None and kind == "models":
        yield from (provider.service or provider.origin for provider in models.in_force.values())
    elif models is not None and kind == "mcp" and (name := endpoint_of(route, models)) is not None:
        yield from (server.target for server in models.mcp[name].servers)
    yield from (entry.target for entry in route.split)
    if route.fallback is not None and route.fallback.target is not None:
        yield route.fallback.target


def _keys(consumers: Iterable[Consumer]) -> Iterator[tuple[Labels, float]]:
    for consumer in consumers:
        for key in consumer.keys:
            if key.expires is not None:
                yield (consumer.name, key.sha256[:_FINGERPRINT] if key.sha256 else key.file or ""), key.expires
