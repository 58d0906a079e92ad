"""The file as a whole: services with their routes, and what stands beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import replace

from gateway.config.yaml.document import Mapping
from gateway.importing.description import Description, Route
from gateway.importing.kong import credentials, own_plugins, upstreams
from gateway.importing.kong.certificates import Certificates
from gateway.importing.kong.effects import Effect
from gateway.importing.kong.plugins import Plugins, names_of, of_consumers, reference
from gateway.importing.kong.routes import Service, routes_of, service_of
from gateway.importing.report import WHOLE
from gateway.importing.tree import Item

_NOTHING = ("_format_version", "_transform", "_comment", "_info", "_workspace", "_konnect", "_ignore")


def read(root: Item) -> Description:
    """The description of a kong.yml."""
    description = Description(root.report, defaults={"allow_encoded_slashes": True, "merge_slashes": True})
    version = root.text("_format_version", "3.0")
    major = int(version[0]) if version[:1].isdigit() else 3
    root.ignore_keys(*_NOTHING)
    _fill_in(root)
    certificates = Certificates(root, description)
    for item in root.items("vaults"):
        item.unsaid("values of a vault come from the environment or from files here: `${NAME}`, `${file:...}`")
    upstreams.read(root, description)
    credentials.read(root, description)
    plugins = Plugins(root, description)
    owners: dict[Route, Set[tuple[str, str]]] = {}
    for service, owner, first in _services(root, certificates, description):
        of_service = plugins.of(owner, "service") if owner is not None else {}
        if first is not None and owner is not None:
            of_service = plugins.of(first, "service") | of_service
        for route_item in _routes_below(root, owner, added=first is not None):
            effective = plugins.everywhere | of_service | plugins.of(route_item, "route")
            for route, head in routes_of(route_item, service, description, major):
                apply(route, list(effective.values()))
                owners[route] = names_of("route", route_item) | (
                    names_of("service", owner) if owner is not None else set()
                )
                if head:
                    description.guard(route, head)
                else:
                    description.routes.append(route)
    certificates.rest()
    if description.routes:
        description.middleware["timeouts"] = dict.fromkeys(("connect", "response_header", "idle"), "60s")
        root.report.said(WHOLE, "timeouts 60s: Kong's own, where no ..._timeout of a service is written")
    # The narrower one counts, wherever it stands.
    order = (None, "service", "route")
    own = [*of_consumers(root), *plugins.own.values()]
    for plugin in sorted(own, key=lambda each: order.index(each.owner[0] if each.owner else None)):
        own_plugins.write(plugin, owners, description)
    return description


def _fill_in(root: Item) -> None:
    """Give each service, route and upstream the values that decK has for all of them: `_info.defaults`."""
    info = root.get("_info")
    defaults = info.get("defaults") if info is not None else None
    if defaults is None:
        return
    services = root.items("services")
    routes = [*root.items("routes"), *(route for service in services for route in service.items("routes"))]
    for kind, items in (("service", services), ("route", routes), ("upstream", root.items("upstreams"))):
        usual = defaults.get(kind)
        if usual is None or not isinstance(usual.node, Mapping):
            continue
        for item in items:
            if isinstance(item.node, Mapping):
                for key, entry in usual.node.entries.items():
                    item.node.entries.setdefault(key, entry)
        for _, below in usual.pairs():
            below.said(f"in each {kind} that says nothing else")


def _services(
    root: Item, certificates: Certificates, description: Description
) -> Iterator[tuple[Service | None, Item | None, Item | None]]:
    """Each service with its entry; for an entry that only adds routes to a service before it, the first one, too."""
    known: dict[str, tuple[Service | None, Item]] = {}
    for item in root.items("services"):
        name = item.text("name")
        if name in known and item.get("url") is None and item.get("host") is None:
            service, first = known[name]
            item.differs(
                f"its routes are added to the service of this name in line {first.place}; Kong refuses the file"
            )
            yield service, item, first
            continue
        service = service_of(item, certificates, description)
        if name:
            known.setdefault(name, (service, item))
        yield service, item, None
    yield None, None, None


def _routes_below(root: Item, service: Item | None, *, added: bool) -> Iterator[Item]:
    """The routes of a service, in it or, unless it was `added` to another one, at the top of the file; those without
    one for None."""
    names = [""] if service is None else [name for _, name in names_of("service", service)]
    if service is not None:
        yield from service.items("routes")
    if added:
        return
    yield from (route for route in root.items("routes") if reference(route, "service") in names)


def apply(route: Route, effects: list[Effect]) -> None:
    """Add to a route what its plugins do."""
    required = [effect for effect in effects if effect.auth and not effect.anonymous]
    asking = required[:1] or [effect for effect in effects if effect.auth]  # one that must be passed leaves no choice
    if len(required) > 1:
        required[1].item.unsaid(
            f"schemes of a route are alternatives, and here callers must pass {len(required)} authentication plugins. "
            "It is closed"
        )
        route.close()
    for effect in effects:
        route.policies += effect.policies
        route.authorize += effect.authorize
        route.settings |= effect.settings
        if effect.closes:
            route.close()
        if effect.sent is not None:
            names = set(re.findall(r"\{(\w+)\}", effect.sent))
            if all(names <= set(re.findall(r"\{(\w+)", path.pattern.text)) for path in route.paths):
                route.paths = [replace(path, rewrite=effect.sent, strip=None) for path in route.paths]
            else:
                effect.item.unsaid(
                    f"it refers to what paths of {route.name} do not capture: write it as the `rewrite` of the route"
                )
    if "respond" in route.settings:
        route.settings.pop("target", None)
    if asking:
        schemes = [name for effect in asking for name in effect.auth]
        route.auth = list(dict.fromkeys([*schemes, *(name for effect in asking for name in effect.anonymous)]))
