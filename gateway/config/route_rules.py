"""The routes of routes.yaml as the rules that a route table is made of."""

from __future__ import annotations

from gateway.config.model_routes import AutomaticRoute
from gateway.config.models import Configuration, Predicate, RouteConfig
from gateway.config.models.redirect import split_location
from gateway.routes.rule import Predicate as RulePredicate
from gateway.routes.rule import Rule


def rule(route: RouteConfig) -> Rule:
    """The rule of a route for the route table."""
    origin, path = split_location(route.redirect.to) if route.redirect else ("", route.rewrite)
    return Rule(
        id=route.id,
        path=route.all_paths[0],
        also=route.all_paths[1:],
        hosts=tuple(route.host or ()),
        methods=frozenset(route.methods) if route.methods else None,
        headers=tuple(predicate(name, value) for name, value in route.headers.items()),
        query=tuple(predicate(name, value) for name, value in route.query.items()),
        rewrite=path,
        strip_prefix=route.strip_prefix,
        allow_encoded_slashes=route.allow_encoded_slashes,
        merge_slashes=route.merge_slashes,
        below=isinstance(route, AutomaticRoute),
        redirect=None if route.redirect is None else "away" if origin else "here",
    )


def rules(configuration: Configuration) -> list[Rule]:
    """Those of all routes, in their order."""
    return [rule(route) for route in configuration.routes.routes]


def predicate(name: str, value: Predicate) -> RulePredicate:
    """The predicate of a value under this name."""
    return RulePredicate(name, value.exact, value.regex, value.present is not False)
