"""Routes to models and to MCP servers: those that there are with models.yaml without being written, and what holds for
those that are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from gateway.config.models import ModelsFile, RouteConfig, RoutesFile
from gateway.config.models.llm.paths import MCP, METADATA, METHODS, MODELS, PATHS, PROBE, PROBES
from gateway.config.models.timeouts import RouteTimeouts

Target = Literal["models", "mcp"]

PATIENCE: Final = 600.0  # seconds: as long as the SDKs wait for the first byte, and for the next

_HANDED_DOWN: Final = frozenset({"host", "headers", "query", "auth", "authorize", "priority", "trace", "max_body"})
"""The keys of `defaults` that hold for the routes that are not written, too."""


class AutomaticRoute(RouteConfig):
    """A route that is not written: it takes what no other one does."""


def target_of(route: RouteConfig, models: ModelsFile | None) -> Target | None:
    """What a route leads to in the place of a backend."""
    if models is None:
        return None
    if route.target == MODELS:
        return "models"
    return "mcp" if endpoint_of(route, models) is not None else None


def endpoint_of(route: RouteConfig, models: ModelsFile) -> str | None:
    """The name of the MCP endpoint that a route leads to: the only one, or the one that it names."""
    named = route.target.removeprefix(f"{MCP}.")
    if route.target == MCP:
        return next(iter(models.mcp)) if len(models.mcp) == 1 else None
    return named if named != route.target and named in models.mcp else None


def with_models(table: RoutesFile, models: ModelsFile | None) -> RoutesFile:
    """The routes with those to models and MCP servers, and with the time limits of these."""
    if models is None:
        return table
    written = tuple(_patient(route, models) if target_of(route, models) else route for route in table.routes)
    taken = {route.id for route in written} | {group.id for group in table.groups}
    automatic = tuple(_automatic(written, table, models, taken))
    return table.model_copy(update={"routes": (*written, *automatic)})


def _patient(route: RouteConfig, models: ModelsFile) -> RouteConfig:
    return route.model_copy(
        update={"timeout": _timeouts(route.timeout, models), "max_body": route.max_body or models.max_body}
    )


def _timeouts(own: RouteTimeouts | None, models: ModelsFile) -> RouteTimeouts:
    milliseconds = models.gateway.request_timeout_ms
    total = None if milliseconds is None else milliseconds / 1000
    limits = RouteTimeouts.model_construct(response_header=PATIENCE, idle=PATIENCE, total=total)
    return limits if own is None else limits.model_copy(update=own.model_dump(exclude_none=True))


def _automatic(
    written: tuple[RouteConfig, ...], table: RoutesFile, models: ModelsFile, taken: set[str]
) -> Iterator[AutomaticRoute]:
    if models.in_force and not any(route.target == MODELS for route in written):
        yield _route(table, models, taken, id=MODELS, paths=PATHS, methods=METHODS, target=MODELS)
        yield _route(table, models, taken, id=PROBE, paths=PROBES, methods=("HEAD",), target=MODELS)
    reached = {endpoint_of(route, models) for route in written}
    for name, endpoint in models.mcp.items():
        if name not in reached:
            ending = "" if len(models.mcp) == 1 else f".{name}"
            target = MCP + ending
            yield _route(table, models, taken, id=target, path=endpoint.path, methods=METHODS, target=target)
            path = f"/.well-known/oauth-protected-resource{endpoint.path}"
            public = {"auth": (), "authorize": ()}  # RFC 9728
            yield _route(
                table, models, taken, id=METADATA + ending, path=path, methods=("GET",), target=target, **public
            )


def _route(table: RoutesFile, models: ModelsFile, taken: set[str], **keys: Any) -> AutomaticRoute:
    """One with what `defaults` hand down, of an id that no other one has."""
    defaults = table.defaults
    handed_down = {key: getattr(defaults, key) for key in defaults.model_fields_set & _HANDED_DOWN}
    stem, number = keys["id"], 1
    while keys["id"] in taken:
        number += 1
        keys["id"] = f"{stem}-{number}"
    taken.add(keys["id"])
    route = AutomaticRoute.model_construct(
        **{**handed_down, **keys}, timeout=_timeouts(defaults.timeout, models), allow_encoded_slashes=True
    )
    return route if route.max_body is not None else route.model_copy(update={"max_body": models.max_body})
