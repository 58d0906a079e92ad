"""Splits of which a part gets nothing, and cookies by which clients cannot stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.config.models import Configuration, RouteConfig
from gateway.config.models.sticky import StickySplit
from gateway.config.problems import Fault


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Weights that lead no request anywhere."""
    for index, route in enumerate(configuration.routes.routes):
        if route.answered_here:
            continue
        place, given = ("routes", index, "split"), _with_weight(route)
        drained = route.sticky is not None and route.target not in _targets(route)
        if given and not any(route.split[number].weight for number in given) and not drained:
            message = f"all weights are 0, so that requests without a `when` go to {route.target}; "
            yield Fault(place, f"{message}give one of them a weight", show_value=False)
            continue
        for number in given:
            entry = route.split[number]
            if not entry.weight and entry.when is None and route.sticky is None:
                message = f"{entry.target} gets no requests; give it a weight, or remove it, or add sticky to the "
                yield Fault((*place, number, "weight"), f"{message}route, with which its clients stay")


def sticky(configuration: Configuration) -> Iterator[Fault]:
    """Sticky cookies without effect, and those of which one overwrites the other."""
    services = configuration.routes.services.items()
    of_services = {each.balance.sticky.cookie: name for name, each in services if each.balance.sticky is not None}
    first: dict[str, tuple[RouteConfig, StickySplit]] = {}
    for index, route in enumerate(configuration.routes.routes):
        config, place = route.sticky, ("routes", index, "sticky")
        if config is None or route.answered_here:
            continue
        if not _with_weight(route):
            message = "it has no effect: no entry of split has a weight, by which clients would be divided; remove it"
            if not route.split:
                message = "it has no effect without split; for clients that stay with an endpoint, write "
                message += "balance: {sticky: {cookie: NAME}} at the service"
            yield Fault(place, message, show_value=False)
            continue
        other, before = first.setdefault(config.cookie, (route, config))
        if config.cookie in of_services:
            message = f"the service {of_services[config.cookie]} has this cookie, too, and each overwrites the other's"
            yield Fault((*place, "cookie"), f"{message}; use another name")
        elif _targets(other) != _targets(route):
            message = f"{other.id} has this cookie, too, for a split over others, and each overwrites the other's"
            yield Fault((*place, "cookie"), f"{message}; use another name")
        elif before.secret != config.secret:
            message = f"{other.id} has this cookie with another secret, and each overwrites the other's"
            yield Fault((*place, "cookie"), f"{message}; use the same secret, or another name")
        if _is_cached(configuration, route):
            message = "with it, hardly anything is cached: neither answers that set it, nor those to requests with a "
            message += "cookie; write cache: false, or cache: {with_credentials: true}"
            yield Fault(place, message, show_value=False)


def _with_weight(route: RouteConfig) -> Sequence[int]:
    return [number for number, entry in enumerate(route.split) if "weight" in entry.model_fields_set]


def _targets(route: RouteConfig) -> set[str]:
    return {route.split[number].target for number in _with_weight(route)}


def _is_cached(configuration: Configuration, route: RouteConfig) -> bool:
    if route.cache is not None:
        return route.cache.enabled and not route.cache.with_credentials
    anywhere = configuration.middleware.cache
    return anywhere is not None and anywhere.applies_to(route.id)
