"""What a location of nginx refuses, and must stay refused where other routes take its requests."""

from __future__ import annotations

from dataclasses import replace

from gateway.algorithms.linear_regex import LinearRegex
from gateway.importing.description import Route, Settings
from gateway.importing.lookahead import not_followed, without_looking
from gateway.importing.nginx.locations import Location, Locations, is_refused
from gateway.importing.regexes import anywhere


def refuse_anywhere(
    location: Location, locations: Locations, taking: dict[Location, Route], guard: Route | None
) -> None:
    """An expression that refuses, wherever in a path it fits: a condition of all that nginx asks afterwards. `guard` is
    its route, where that has no path of ours, and lets in only some: the others must not take its requests openly."""
    text = location.text
    refused = is_refused(location.directive)
    said = text.startswith("^") and location in taking
    if not location.is_expression or said or not (refused or guard):
        return
    looking = not_followed(text)
    text = (looking or without_looking(text)).replace("'", ".")
    expression = ("(?i)" if location.kind == "~*" else "") + anywhere(text)
    try:
        LinearRegex(expression)
    except ValueError:
        if refused:
            location.directive.unsaid("it refuses wherever its expression fits, which cannot be a condition of ours")
        return
    if looking is None:
        location.directive.differs("more is refused than its expression fits, which looks around")
    condition = {"when": f"not path.matches('{expression}')"}
    later = [route for other, route in taking.items() if locations.asked_after(location, other)]
    for route in [route for route in later if "target" in route.settings]:
        if refused or guard is None:
            route.authorize.append(condition)
        elif _rules(route) != _rules(guard):
            route.authorize.append(condition)
            location.directive.differs(f"what fits it is refused by route {route.name}, until its paths are configured")
    if refused:
        location.directive.said("authorize of the routes that are asked afterwards")
        if location not in taking and (returned := location.directive.first("return")) is not None:
            returned.said("authorize of the routes that are asked afterwards")
            if returned.argument != "403":
                returned.differs(f"what fits it gets a 403, where nginx answers {returned.argument}")


def _rules(route: Route) -> tuple[object, ...]:
    return route.auth, route.authorize, route.conditions


def other_methods(location: Location, route: Route) -> list[Route]:
    """The methods that `limit_except` or an `if` refuses: no location around this one takes them."""
    if route.methods is None:
        return []
    paths = [replace(path, rank=(*path.rank, 1), rewrite=None, strip=None) for path in route.paths]
    settings: Settings = {"respond": {"status": 403 if location.directive.first("limit_except") else 405}}
    return [Route(f"{route.name}-others", route.place, paths, hosts=route.hosts, settings=settings)]
