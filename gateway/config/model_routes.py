"""Routes to models and to MCP servers: those that there are with models.yaml without being written, and what holds for
those that are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.config.models import RouteConfig, RoutesFile
from gateway.config.models.cache import RouteCache
from gateway.config.models.llm.paths import MCP, METADATA, METADATA_PATH, METHODS, MODELS, PATHS, PROBE, PROBES
from gateway.config.models.timeouts import RouteTimeouts, Timeouts

if TYPE_CHECKING:
    from gateway.config.models.llm.file import ModelsFile

Target = Literal["models", "mcp"]

PATIENCE: Final = 600.0  # seconds: as long as the SDKs wait for the first byte, and for the next

_HANDED_DOWN: Final = frozenset(
    {"host", "headers", "query", "auth", "authorize", "priority", "trace", "max_body", "timeout"}
)
"""The keys of `defaults` that hold for the routes that are not written, too."""


class AutomaticRoute(RouteConfig):
    """A route that is not written: it takes what no other one does."""

    @property
    def public(self) -> bool:
        """Whether it is for anyone: that something is there, and what a server says of its authorization (RFC 9728)."""
        return self.path.startswith(METADATA_PATH) or self.paths == PROBES


def target_of(route: RouteConfig, models: ModelsFile | None) -> Target | None:
    """The target of a model route."""
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


def with_models(table: RoutesFile, models: ModelsFile | None, limits: Timeouts) -> RoutesFile:
    """The routes with those to models and MCP servers, and with the time limits of these. `limits` are those of routes
    that say nothing."""
    if models is None:
        return table
    milliseconds = models.gateway.request_timeout_ms
    total = limits.total if milliseconds is None else milliseconds / 1000
    written = tuple(_to_models(route, models, total) if target_of(route, models) else route for route in table.routes)
    taken = {route.id for route in written} | {group.id for group in table.groups}
    automatic = tuple(_to_models(route, models, total) for route in _automatic(written, table, models, taken))
    return table.model_copy(update={"routes": (*written, *automatic)})


def _to_models(route: RouteConfig, models: ModelsFile, total: float | None) -> RouteConfig:
    own = {} if route.timeout is None else route.timeout.model_dump(exclude_none=True)
    total = own.get("total", total)
    patience = PATIENCE if total is None else min(PATIENCE, total)
    limits = {"response_header": patience, "idle": patience, **({} if total is None else {"total": total}), **own}
    update: dict[str, Any] = {
        "timeout": RouteTimeouts.model_construct(**limits),
        "max_body": route.max_body or models.max_body,
        "cache": RouteCache(enabled=False),
    }
    made = route.model_copy(update=update)
    made.model_fields_set.difference_update(update.keys() - route.model_fields_set)  # not written in a file
    return made


def _automatic(
    written: tuple[RouteConfig, ...], table: RoutesFile, models: ModelsFile, taken: set[str]
) -> Iterator[AutomaticRoute]:
    public = {"auth": (), "authorize": ()}
    if models.in_force and not any(route.target == MODELS for route in written):
        yield _route(table, taken, id=MODELS, paths=PATHS, methods=METHODS, target=MODELS)
        yield _route(table, taken, id=PROBE, paths=PROBES, methods=("HEAD",), target=MODELS, **public)
    reached = {endpoint_of(route, models) for route in written}
    for name, endpoint in models.mcp.items():
        if name not in reached:
            ending = "" if len(models.mcp) == 1 else f".{name}"
            target = MCP + ending
            yield _route(table, taken, id=target, path=endpoint.path, methods=METHODS, target=target)
            path = METADATA_PATH + endpoint.path
            yield _route(table, taken, id=METADATA + ending, path=path, methods=("GET",), target=target, **public)


def _route(table: RoutesFile, taken: set[str], **keys: Any) -> AutomaticRoute:
    """One with what `defaults` hand down, of an id that no other one has."""
    defaults = table.defaults
    handed_down = {key: getattr(defaults, key) for key in defaults.model_fields_set & _HANDED_DOWN}
    stem, number = keys["id"], 1
    while keys["id"] in taken:
        number += 1
        keys["id"] = f"{stem}-{number}"
    taken.add(keys["id"])
    return AutomaticRoute.model_construct(**{**handed_down, **keys}, allow_encoded_slashes=True)
