"""The names of hosts in routes.yaml and models.yaml, and where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from gateway.config.models import Configuration, RouteConfig
from gateway.config.problems import Path, suggest
from gateway.config.values.addresses import AddressTarget, parse_address, parse_target

Place = tuple[str, Path]
"""A file, and the way in it."""


def host_names(configuration: Configuration) -> dict[str, Place]:
    """The host of every target, endpoint of a service, provider and MCP server, and the first place that names it."""
    found: dict[str, Place] = {}
    targets: dict[str, Place] = {}  # many routes lead to the same
    for index, route in enumerate(configuration.routes.routes):
        for place, text in _targets(route):
            targets.setdefault(text, ("routes.yaml", ("routes", index, *place)))
    for text, first in targets.items():
        target = parse_target(text)
        if isinstance(target, AddressTarget):
            found.setdefault(target.host, first)
    for name, service in configuration.routes.services.items():
        for index, endpoint in enumerate(service.endpoints):
            place = ("services", name, "endpoints", index)
            found.setdefault(parse_address(endpoint.address)[0], ("routes.yaml", place))
    for place, url in _urls(configuration):
        found.setdefault(urlsplit(url).hostname or "", ("models.yaml", place))
    return found


def perhaps_meant(name: str, others: Iterable[str]) -> str:
    """A hint for a name that does not resolve: a similar one."""
    likely = suggest(name, sorted(others), 0.8)
    return f'; did you mean "{likely}"?' if likely is not None and likely != name else ""


def _urls(configuration: Configuration) -> Iterator[tuple[Path, str]]:
    models = configuration.models
    for name, provider in models.providers.items() if models is not None else ():
        if provider.base_url is not None:
            yield ("providers", name, "base_url"), provider.base_url
    for name, endpoint in models.mcp.items() if models is not None else ():
        for index, server in enumerate(endpoint.servers):
            if server.url is not None:
                yield ("mcp", name, "servers", index, "url"), server.url


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
