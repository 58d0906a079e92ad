"""The names of hosts in routes.yaml, and where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.config.models import Configuration, RouteConfig
from gateway.config.problems import Path, suggest
from gateway.config.values.addresses import AddressTarget, parse_address, parse_target


def host_names(configuration: Configuration) -> dict[str, Path]:
    """The host of every target and of every endpoint of a service, and the first place that names it."""
    found: dict[str, Path] = {}
    for index, route in enumerate(configuration.routes.routes):
        for place, text in _targets(route):
            target = parse_target(text)
            if isinstance(target, AddressTarget):
                found.setdefault(target.host, ("routes", index, *place))
    for name, service in configuration.routes.services.items():
        for index, endpoint in enumerate(service.endpoints):
            found.setdefault(parse_address(endpoint.address)[0], ("services", name, "endpoints", index))
    return found


def perhaps_meant(name: str, others: Iterable[str]) -> str:
    """What to add where a name does not resolve: another that is much like it."""
    likely = suggest(name, sorted(others), 0.8)
    return f'; did you mean "{likely}"?' if likely is not None and likely != name else ""


def _targets(route: RouteConfig) -> Iterator[tuple[Path, str]]:
    if route.answered_here:
        return
    yield ("target",), route.target
    if route.mirror is not None:
        yield ("mirror", "target"), route.mirror.target
    if route.fallback is not None and route.fallback.target is not None:
        yield ("fallback", "target"), route.fallback.target
    for number, part in enumerate(route.split or ()):
        yield ("split", number, "target"), part.target
