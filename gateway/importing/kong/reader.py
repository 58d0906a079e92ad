"""The file as a whole: services with their routes, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field

from gateway.importing.description import Description, Route
from gateway.importing.kong import credentials, own_plugins, plugins, upstreams
from gateway.importing.kong.effects import Effect
from gateway.importing.kong.plugins import Plugins, reference
from gateway.importing.kong.routes import Service, routes_of, service_of
from gateway.importing.tree import Item

_NOTHING = ("_format_version", "_transform", "_comment", "_info", "_workspace", "_konnect", "_ignore")
_CERTIFICATES = "the gateway speaks plain HTTP: TLS ends in front of it (deploy/nginx); put this certificate there"


def read(root: Item) -> Description:
    """The description of a kong.yml."""
    description = Description(root.report, defaults={"allow_encoded_slashes": True, "merge_slashes": True})
    version = root.text("_format_version", "3.0")
    major = int(version[0]) if version[:1].isdigit() else 3
    root.ignore_keys(*_NOTHING)
    for key in ("certificates", "ca_certificates", "snis"):
        for item in root.items(key):
            item.unsaid(_CERTIFICATES)
    for item in root.items("vaults"):
        item.unsaid("values of a vault come from the environment or from files here: `${NAME}`, `${file:...}`")
    upstreams.read(root, description)
    credentials.read(root, description)
    scoped = _Scoped(Plugins(root, description), *_by_owner(root))
    owners: dict[Route, Set[tuple[str, str]]] = {}
    for service, owner in _services(root, description):
        of_service = scoped.of(owner, "service") if owner is not None else {}
        for route_item in _routes_below(root, owner):
            effective = scoped.everywhere | of_service | scoped.of(route_item, "route")
            for route, head in routes_of(route_item, service, description, major):
                apply(route, list(effective.values()))
                owners[route] = _names("route", route_item) | (_names("service", owner) if owner is not None else set())
                if head:
                    description.guard(route, head)
                else:
                    description.routes.append(route)
    own_plugins.write([*plugins.of_consumers(root), *scoped.plugins.own.values()], owners, description)
    return description


def _names(kind: str, item: Item) -> Set[tuple[str, str]]:
    return {(kind, name) for name in (item.text("name"), item.text("id")) if name}


@dataclass(slots=True)
class _Scoped:
    """Plugins by whom they are for, each with its effect by name: the nearest of a name counts."""

    plugins: Plugins
    everywhere: dict[str, Effect] = field(default_factory=dict)
    owned: dict[tuple[str, str], list[Item]] = field(default_factory=dict)

    def __init__(self, made: Plugins, everywhere: list[Item], owned: dict[tuple[str, str], list[Item]]) -> None:
        self.plugins = made
        self.owned = owned
        self.everywhere = made.effects(everywhere)

    def of(self, item: Item, kind: str) -> dict[str, Effect]:
        names = sorted(_names(kind, item))
        referring = [plugin for name in names for plugin in self.owned.get(name, [])]
        return self.plugins.effects([*item.items("plugins"), *referring], names[0] if names else None)


def _by_owner(root: Item) -> tuple[list[Item], dict[tuple[str, str], list[Item]]]:
    """The plugins at the top of the file: those for everything, and those that name whom they are for."""
    everywhere: list[Item] = []
    owned: dict[tuple[str, str], list[Item]] = {}
    for item in root.items("plugins"):
        owner = plugins.scope(item)
        if owner is None:
            everywhere.append(item)
        else:
            owned.setdefault(owner, []).append(item)
    return everywhere, owned


def _services(root: Item, description: Description) -> Iterator[tuple[Service | None, Item | None]]:
    for item in root.items("services"):
        yield service_of(item, description), item
    yield None, None


def _routes_below(root: Item, service: Item | None) -> Iterator[Item]:
    """The routes of a service, in it or at the top of the file; those without one for None."""
    names = [""] if service is None else [name for name in (service.text("name"), service.text("id")) if name]
    if service is not None:
        yield from service.items("routes")
    yield from (route for route in root.items("routes") if reference(route, "service") in names)


def apply(route: Route, effects: list[Effect]) -> None:
    """Add to a route what its plugins do."""
    schemes = [name for effect in effects for name in effect.auth]
    required = [effect for effect in effects if effect.auth and not effect.anonymous]
    if len(required) > 1:
        schemes = required[0].auth
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
    if "respond" in route.settings:
        route.settings.pop("target", None)
    anonymous = [name for effect in effects for name in effect.anonymous]
    if schemes:
        route.auth = list(dict.fromkeys([*schemes, *anonymous]))
