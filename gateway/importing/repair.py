"""Takes out of a description what our files do not accept, and names it: what is wrong in the original, too."""

from __future__ import annotations

import re

from gateway.config.problems import Problem
from gateway.importing.description import Description, Route
from gateway.importing.report import WHOLE

_HARMLESS = ("timeout", "retry", "breaker", "max_body", "set", "mirror", "fallback", "cache", "preserve_host")
"""Keys of a route without which it does no more than with them."""

_STEP = re.compile(r'([A-Za-z_][\w-]*)|\[(\d+)\]|\["([^"]*)"\]')


def repair(description: Description, routes: list[Route], problem: Problem) -> bool:
    """Take out what this problem is about. `routes` are those of routes.yaml, in its order. False: there is nothing."""
    path = [int(number) if number else name or quoted for name, number, quoted in _STEP.findall(problem.where)]
    if problem.file == "routes.yaml":
        return _in_routes(description, routes, path, problem)
    if problem.file == "middleware.yaml":
        return _in_middleware(description, path, problem)
    return _in_auth(description, path, problem)


def _why(problem: Problem) -> str:
    return re.sub(r" \(got .*", "", problem.message.partition("\n")[0])


def _in_routes(description: Description, routes: list[Route], path: list[str | int], problem: Problem) -> bool:
    if path[:1] == ["services"] and len(path) > 1:
        used = [route for route in description.routes if path[1] in _targets(route)]
        for route in used:
            _drop(description, route, f"its service {path[1]} is not accepted: {_why(problem)}")
        return description.services.pop(str(path[1]), None) is not None
    if path[:1] != ["routes"] or len(path) < 2 or not isinstance(path[1], int) or path[1] >= len(routes):
        return False
    route, key = routes[path[1]], str(path[2]) if len(path) > 2 else ""
    if key in _HARMLESS and key in route.settings:
        description.report.unsaid(route.place, f"{key} is left out: {_why(problem)}")
        del route.settings[key]
    else:
        _drop(description, route, f"there is no such route: {key or 'it'} is not accepted: {_why(problem)}")
    return True


def _targets(route: Route) -> set[object]:
    settings = route.settings
    others = [settings.get(key, {}).get("target") for key in ("mirror", "fallback")]
    return {settings.get("target"), *others, *(entry["target"] for entry in settings.get("split", ()))}


def _drop(description: Description, route: Route, why: str) -> None:
    description.report.unsaid(route.place, why)
    description.routes = [other for other in description.routes if other is not route]


def _in_middleware(description: Description, path: list[str | int], problem: Problem) -> bool:
    section = str(path[0]) if path else ""
    rules = {policy for route in description.routes for policy in route.policies if policy.section == section}
    named = [policy for policy in rules if (len(path) > 1 and policy.name == path[1]) or not policy.name]
    for policy in named:
        description.report.unsaid(policy.place, f"{section} is left out: {_why(problem)}")
        # A list of addresses is a guard: its routes are closed.
        for route in description.routes:
            if policy in route.policies:
                route.policies.remove(policy)
                if policy.section == "ip_allow":
                    route.close()
    found = description.middleware.pop(section, None) is not None
    if found and not named:
        description.report.unsaid(WHOLE, f"{section} is left out: {_why(problem)}")
    return found or bool(named)


def _in_auth(description: Description, path: list[str | int], problem: Problem) -> bool:
    if path[:1] == ["schemes"] and len(path) > 1:
        for route in description.routes:
            if path[1] in (route.auth or ()):
                description.report.unsaid(
                    route.place, f"it refuses everybody: {path[1]} is not accepted: {_why(problem)}"
                )
                route.auth = [name for name in route.auth or () if name != path[1]] or None
                route.close()
        return description.schemes.pop(str(path[1]), None) is not None
    if path[:1] == ["consumers"] and len(path) > 1 and isinstance(path[1], int):
        name = list(description.consumers)[path[1]]
        description.report.unsaid(WHOLE, f"consumer {name} is left out: {_why(problem)}")
        return description.consumers.pop(name, None) is not None
    return False
