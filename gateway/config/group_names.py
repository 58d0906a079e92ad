"""Rules of middleware.yaml may name a group of routes where they name routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.config.models import MiddlewareFile
from gateway.config.models.policy import ForRoutes
from gateway.config.problems import Path

_KEYS = ("routes", "exempt_routes")


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


def naming_routes(middleware: MiddlewareFile, groups: Mapping[str, tuple[str, ...]]) -> MiddlewareFile:
    """The same rules, which also name the routes of each group that they name. `groups`: ids of routes by group."""
    changed: dict[str, object] = {}
    for path, rule in rules(middleware):
        named = {key: _with_routes(getattr(rule, key), groups) for key in _KEYS if hasattr(rule, key)}
        if any(len(names) > len(getattr(rule, key)) for key, names in named.items()):
            made = rule.model_copy(update=named)
            if len(path) == 1:
                changed[str(path[0])] = made
            else:
                several = changed.setdefault(str(path[0]), dict(getattr(middleware, str(path[0]))))
                assert isinstance(several, dict)
                several[path[1]] = made
    return middleware.model_copy(update=changed) if changed else middleware


def _with_routes(names: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return (*names, *(route for name in names for route in groups.get(name, ())))
