"""Routes to models and MCP servers: who may use them, what is in their way, and what has no effect on them."""

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.config.checks.routes import STAND_IN
from gateway.config.model_routes import AutomaticRoute, target_of
from gateway.config.models import Configuration, RouteConfig
from gateway.config.models.llm.paths import MCP, MODELS, PROBES
from gateway.config.problems import Fault, Path
from gateway.config.route_rules import rule
from gateway.plurals import counted
from gateway.routes.rule import Rule
from gateway.routes.table import RouteTable

_OF_BACKENDS: Final[Sequence[str]] = (
    *("split", "sticky", "mirror", "retry", "breaker", "fallback", "hedge", "preserve_host", "rewrite_back", "cache"),
)
_SHOWN: Final = 3


def _is_mcp(target: str) -> bool:
    return target == MCP or target.startswith(f"{MCP}.")


def without_models(configuration: Configuration) -> Iterator[Fault]:
    """Targets that there are with models.yaml only, or with what stands in it."""
    services, models = configuration.routes.services, configuration.models
    for index, route in enumerate(configuration.routes.routes):
        if route.target in services or target_of(route, models) is not None:
            continue
        place = ("routes", index, "target")
        if route.target == MODELS:
            yield Fault(place, "models.yaml, which says where models are, is missing or empty; write it, or a service")
        elif _is_mcp(route.target):
            names = [] if models is None else [f"{MCP}.{name}" for name in models.mcp]
            remedy = f"write one of {', '.join(names)}" if names else "add the endpoint there, or a service"
            yield Fault(place, f"mcp of models.yaml has not the one endpoint that this means; {remedy}")


def taken_names(configuration: Configuration) -> Iterator[Fault]:
    """Services that would be meant by the target that leads to models."""
    models = configuration.models
    for name in configuration.routes.services:
        if (models is not None and name == MODELS) or (models is not None and models.mcp and _is_mcp(name)):
            message = f"with models.yaml, the target {name} is what that file describes; rename this service"
            yield Fault(("services", name), message, show_value=False)


def open_to_all(configuration: Configuration) -> Iterator[Fault]:
    """Routes to models without any authentication, where they do not say so themselves."""
    for place, route in _to_models(configuration):
        if isinstance(route, AutomaticRoute) or _has_schemes(configuration, route):
            continue
        if route.auth is None or not configuration.says_itself(int(place[1]), "auth"):
            message = (
                "anyone could use the keys of the providers: no scheme of auth.yaml holds here; add auth: [SCHEME]"
            )
            yield Fault((*place, "target"), f"{message}, or auth: [] to the route if that is meant", show_value=False)


def open_paths(configuration: Configuration) -> Iterator[Fault]:
    """The same of the routes that are there by themselves, but for those that are meant to be open."""
    unguarded = [
        route.target
        for _, route in _to_models(configuration)
        if isinstance(route, AutomaticRoute) and not route.public and not _has_schemes(configuration, route)
    ]
    for target in dict.fromkeys(unguarded):
        given = configuration.routes.defaults.auth is not None
        cause = (
            "defaults of routes.yaml has auth: []; write" if given else "auth.yaml has no default; add one, or write"
        )
        what = "the models" if target == MODELS else "the MCP servers"
        yield Fault(
            ("providers",) if target == MODELS else ("mcp",),
            f"anyone could use {what}: {cause} a route with target: {target} and auth: [SCHEME], or with auth: [] if "
            "that is meant",
            show_value=False,
        )


def _has_schemes(configuration: Configuration, route: RouteConfig) -> bool:
    return bool(configuration.auth.default if route.auth is None else route.auth)


def idle_on_routes(configuration: Configuration) -> Iterator[Fault]:
    """Keys of routes that are about backends."""
    for place, route in _to_models(configuration):
        if isinstance(route, AutomaticRoute):
            continue
        for key in _OF_BACKENDS:
            index = place[1]
            if key in route.model_fields_set and configuration.says_itself(int(index), key):
                message = "this has no effect: models.yaml determines the handling of failures; remove it"
                yield Fault((*place, key), message, show_value=False)


def overlaps(configuration: Configuration) -> Iterator[Fault]:
    """Routes that take requests from those that are there by themselves."""
    automatic = (route for route in configuration.routes.routes if isinstance(route, AutomaticRoute))
    below = [(_anywhere(route), route.id) for route in automatic if route.all_paths != PROBES]
    if not below:
        return
    found: dict[int, dict[str, None]] = {}
    for index, path in _met(RouteTable(below), RouteTable(list(_written(configuration)))):
        found.setdefault(index, {})[path] = None
    for index, paths in sorted(found.items()):
        route = configuration.routes.routes[index]
        shown = ", ".join(list(paths)[:_SHOWN])
        more = f" and {counted(len(paths) - _SHOWN, 'other path')}" if len(paths) > _SHOWN else ""
        yield Fault(
            ("routes", index, "paths" if route.paths else "path"),
            f"it takes requests that would go to what models.yaml describes: {shown}{more}; if that is not intended, "
            f"change the path, or give that one a route of its own, with target: {MODELS}",
            show_value=False,
        )


def _written(configuration: Configuration) -> Iterator[tuple[Rule, int]]:
    for index, route in enumerate(configuration.routes.routes):
        if not isinstance(route, AutomaticRoute):
            yield _anywhere(route), index


def _met(below: RouteTable[str], above: RouteTable[int]) -> Iterator[tuple[int, str]]:
    """Routes that are written and paths of others, where one request may fit both."""
    for theirs in below.candidates:
        for over, _ in above.find("", theirs.pattern.sample(STAND_IN)):
            yield from ((ours.value, theirs.pattern.source) for ours in over if _share_methods(ours.rule, theirs.rule))
    for ours in above.candidates:
        for under, _ in below.find("", ours.pattern.sample(STAND_IN)):
            yield from ((ours.value, each.pattern.source) for each in under if _share_methods(ours.rule, each.rule))


def _to_models(configuration: Configuration) -> Iterator[tuple[Path, RouteConfig]]:
    for index, route in enumerate(configuration.routes.routes):
        if target_of(route, configuration.models) is not None:
            yield ("routes", index), route


def _anywhere(route: RouteConfig) -> Rule:
    """The requests that the route takes, for any host and other conditions."""
    found = rule(route)
    return Rule(found.id, found.path, methods=found.methods, also=found.also)


def _share_methods(one: Rule, other: Rule) -> bool:
    return one.methods is None or other.methods is None or not one.methods.isdisjoint(other.methods)
