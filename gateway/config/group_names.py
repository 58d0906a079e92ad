"""Rules of middleware.yaml may name a group of routes where they name routes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gateway.config.models import MiddlewareFile
from gateway.config.models.policy import ForRoutes
from gateway.config.problems import Path

ROUTES = "routes"
LISTS = (ROUTES, "exempt_routes")
COSTS = "costs"
"""The keys of rules that name routes: lists of ids, and numbers by id."""


def rules(middleware: MiddlewareFile) -> Iterator[tuple[Path, ForRoutes]]:
    """All rules that are for some routes, and where they stand."""
    for key in MiddlewareFile.model_fields:
        value = getattr(middleware, key)
        if isinstance(value, ForRoutes):
            yield (key,), value
        elif isinstance(value, dict):
            for name, rule in value.items():
                if isinstance(rule, ForRoutes):
                    yield (key, name), rule
    for name, rule in middleware.alerts.rules.items():
        yield ("alerts", "rules", name), rule


def naming_routes(middleware: MiddlewareFile, groups: Mapping[str, tuple[str, ...]]) -> MiddlewareFile:
    """The same rules, which also name the routes of each group that they name. `groups`: ids of routes by group."""
    for path, rule in rules(middleware):
        named: dict[str, Collection[str]] = {
            key: _with_routes(getattr(rule, key), groups) for key in LISTS if hasattr(rule, key)
        }
        if hasattr(rule, COSTS):
            costs = getattr(rule, COSTS)
            of_groups = {route: cost for name, cost in costs.items() for route in groups.get(name, ())}
            named[COSTS] = of_groups | costs
        if any(len(names) > len(getattr(rule, key)) for key, names in named.items()):
            middleware = _with(middleware, path, rule.model_copy(update=named))
    return middleware


def _with(holder: Any, path: Path, value: object) -> Any:
    """A copy that has this value where `path` leads."""
    if not path:
        return value
    if isinstance(holder, dict):
        return {**holder, path[0]: _with(holder[path[0]], path[1:], value)}
    name = str(path[0])
    return holder.model_copy(update={name: _with(getattr(holder, name), path[1:], value)})


def _with_routes(names: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return (*names, *(route for name in names for route in groups.get(name, ())))
