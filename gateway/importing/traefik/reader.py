"""The file as a whole: routers, in the order of their priority."""

from __future__ import annotations

from gateway.importing.description import Description, Route, identifier
from gateway.importing.regexes import Unsayable
from gateway.importing.traefik.matching import Unmatched, matched
from gateway.importing.traefik.middlewares import Middlewares
from gateway.importing.traefik.rules import Alternative, RuleError, alternatives
from gateway.importing.traefik.services import Services
from gateway.importing.tree import Item

_TLS = "the gateway speaks plain HTTP: TLS ends in front of it (deploy/nginx)"


def read(root: Item) -> Description:
    """The description of a dynamic file."""
    description = Description(root.report)
    root.report.encoded_slashes()
    for key in ("tcp", "udp"):
        if (item := root.get(key)) is not None:
            item.unsaid("only HTTP is forwarded")
    strict: set[str] = set()
    if (tls := root.get("tls")) is not None:
        strict = _asking_for_certificates(tls)
        tls.unsaid(_TLS + "; put certificates and options there")
    http = root.get("http")
    if http is None:
        return description
    services, middlewares = Services(http, description), Middlewares(http, description)
    routers = http.get("routers")
    pairs = list(routers.pairs()) if routers is not None else []
    rules = [item.text("rule") for _, item in pairs]
    for name, item in pairs:
        before = len(description.routes)
        _read_router(name, item, services, middlewares, description, twice=rules.count(item.text("rule")) > 1)
        tls = item.get("tls")
        if tls is not None and tls.text("options", "default").removesuffix("@file") in strict:
            item.unsaid(
                "clients must show a certificate: see `mtls` of auth.yaml. It refuses everybody until then", "tls"
            )
            for route in description.routes[before:]:
                route.close()
    services.unused()
    middlewares.unused()
    return description


def _asking_for_certificates(tls: Item) -> set[str]:
    """The TLS options by which a client without a certificate gets no connection."""
    options = tls.get("options")
    found = set()
    for name, option in options.pairs() if options is not None else ():
        client = option.get("clientAuth")
        if client is not None and client.text("clientAuthType").lower().startswith("require"):
            found.add(name)
    return found


def _read_router(
    name: str, item: Item, services: Services, middlewares: Middlewares, description: Description, *, twice: bool
) -> None:
    item.ignore_keys("entryPoints", "entrypoints", "ruleSyntax", "observability", "parentRefs")
    if (tls := item.get("tls")) is not None:
        tls.ignore()
    service, rule = item.text("service"), item.text("rule")
    named = [text.removesuffix("@file") for text in item.texts("middlewares")]
    if middlewares.redirects_to_https(named) and (service.endswith("@internal") or (tls is None and twice)):
        item.unsaid(f"it sends clients to https: {_TLS}; let it send them there")
        middlewares.used(named)
        return
    settings = services.settings(service)
    if settings is None:
        internal = (
            f"{service} is a part of Traefik itself" if service.endswith("@internal") else "its service is not there"
        )
        item.unsaid(f"{internal}; the route is left out")
        return
    try:
        choices = alternatives(rule)
    except RuleError as why:
        item.unsaid(f"the rule cannot be read: {why}", "rule")
        return
    priority = item.number("priority", 0) or len(rule)
    route = Route(identifier(name), item.place, [], settings=dict(settings))
    routes: list[Route] = []
    guesses: list[tuple[str, Alternative]] = []
    for choice in choices:
        try:
            _merge(routes, matched(route, choice, (-priority, name), item))
        except Unmatched as why:
            item.unsaid(f"{' && '.join(map(str, choice))} is left out: {why}", "rule")
            if why.instead is not None:
                wider = tuple(why.instead[1] if matcher is why.instead[0] else matcher for matcher in choice)
                guesses.append((why.instead[1].arguments[0], wider))
    for each in routes:
        _apply(middlewares, named, each, item)
    for head, wider in guesses:
        try:
            guess = matched(route, wider, (-priority, name), item)
        except Unmatched:
            continue
        _apply(middlewares, named, guess, item)
        description.guard(guess, head)
    description.routes += routes
    item.said(f"route {route.name}" if routes else "")


def _apply(middlewares: Middlewares, names: list[str], route: Route, item: Item) -> None:
    try:
        middlewares.apply(names, route)
    except Unsayable as why:
        item.unsaid(f"the path is sent as it came: {why}", "middlewares")


def _merge(routes: list[Route], route: Route) -> None:
    """Add a route, or its paths to one that differs from it in nothing else."""
    for other in routes:
        if _likeness(other) == _likeness(route):
            other.paths += route.paths
            return
    routes.append(route)


def _likeness(route: Route) -> tuple[object, ...]:
    return route.hosts, route.methods, route.headers, route.query, route.excluded, route.authorize
