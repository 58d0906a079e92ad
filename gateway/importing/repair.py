"""Takes out of a description what our files do not accept, and names it: what is wrong in the original, too."""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.config.problems import Problem
from gateway.importing.description import Description, Route, Settings
from gateway.importing.report import WHOLE

_HARMLESS = ("timeout", "retry", "breaker", "max_body", "set", "mirror", "fallback", "cache", "preserve_host")
"""Keys of a route without which it does no more than with them."""

_ABOUT_REQUESTS = ("", "id", "path", "paths", "host", "methods", "headers", "query")
"""Keys of a route that say which requests it takes."""

GONE: Settings = {"respond": {"status": 404}}
"""What becomes of a route that is left out."""

_STEP = re.compile(r'([A-Za-z_][\w-]*)|\[(\d+)\]|\["([^"]*)"\]')


def repair(description: Description, routes: list[Route], problem: Problem) -> bool:
    """Take out what this problem is about. `routes` are those of routes.yaml, in its order. False: there is nothing."""
    path = [int(number) if number else name or quoted for name, number, quoted in _STEP.findall(problem.where)]
    why = re.sub(r" \(got .*", "", problem.message.partition("\n")[0])
    match problem.file, path:
        case "routes.yaml", ["services", name, *_]:
            for route in [route for route in description.routes if name in targets_of(route)]:
                _drop(description, route, f"its service {name} is not accepted: {why}")
            return description.services.pop(str(name), None) is not None
        case "routes.yaml", ["routes", int(number), *keys] if number < len(routes):
            route, key = routes[number], str(keys[0]) if keys else ""
            if key in _HARMLESS and key in route.settings:
                description.report.unsaid(route.place, f"{key} is left out: {why}")
                del route.settings[key]
            else:
                _drop(description, route, f"the route is left out: {key or 'it'} is not accepted: {why}", key)
            return True
        case "middleware.yaml", _:
            return _drop_rules(description, path, why)
        case _, ["schemes", name, *_]:
            for route in [route for route in description.routes if name in (route.auth or ())]:
                description.report.unsaid(route.place, f"it refuses every request: {name} is not accepted: {why}")
                route.auth = [other for other in route.auth or () if other != name] or None
                route.close()
            return description.schemes.pop(str(name), None) is not None
        case _, ["consumers", int(number), *_]:
            consumer = list(description.consumers)[number]
            description.report.unsaid(WHOLE, f"consumer {consumer} is left out: {why}")
            return description.consumers.pop(consumer, None) is not None
    return False


def targets_of(route: Route) -> set[object]:
    """The services and addresses that a route may go to."""
    settings = route.settings
    others = [settings.get(key, {}).get("target") for key in ("mirror", "fallback")]
    return {settings.get("target"), *others, *(entry["target"] for entry in settings.get("split", ()))}


def _drop(description: Description, route: Route, why: str, key: str = "") -> None:
    """Leave a route out. Its requests get a 404: another route may take them, too, and ask less of callers."""
    if key in _ABOUT_REQUESTS or route.settings == GONE:
        description.routes = [other for other in description.routes if other is not route]
        description.report.unsaid(route.place, why)
        return
    description.report.unsaid(route.place, f"{why}. Its requests get a 404")
    route.settings, route.auth, route.authorize, route.policies = dict(GONE), None, [], []
    route.conditions = []
    route.paths = [replace(path, rewrite=None, strip=None) for path in route.paths]


def _drop_rules(description: Description, path: list[str | int], why: str) -> bool:
    section = str(path[0]) if path else ""
    rules = {policy for route in description.routes for policy in route.policies if policy.section == section}
    named = [policy for policy in rules if (len(path) > 1 and policy.name == path[1]) or not policy.name]
    for policy in named:
        description.report.unsaid(policy.place, f"{section} is left out: {why}")
        # A list of addresses is a guard: its routes are closed.
        for route in description.routes:
            if policy in route.policies:
                route.policies.remove(policy)
                if policy.section == "ip_allow":
                    route.close()
    found = description.middleware.pop(section, None) is not None
    if found and not named:
        description.report.unsaid(WHOLE, f"{section} is left out: {why}")
    return found or bool(named)
