"""The file as a whole: routers, in the order of their priority."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gateway.algorithms.linear_regex import LinearRegex
from gateway.importing.description import Description, Path, Route, identifier
from gateway.importing.lookahead import not_followed, without_looking
from gateway.importing.patterns import Pattern
from gateway.importing.regexes import Unsayable, anywhere
from gateway.importing.repair import GONE
from gateway.importing.report import WHOLE
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
        options = tls.get("options")
        for name, option in options.pairs() if options is not None else ():
            client = option.get("clientAuth")
            if client is not None and client.text("clientAuthType").lower().startswith("require"):
                strict.add(name)  # clients without a certificate get no connection
        tls.unsaid(_TLS + "; put certificates and options there")
    http = root.get("http")
    if http is None:
        return description
    made = _Routers(http, description)
    pairs = list(routers.pairs()) if (routers := http.get("routers")) is not None else []
    rules = [item.text("rule") for _, item in pairs]
    for name, item in pairs:
        before = len(description.routes)
        made.add(name, item, twice=rules.count(item.text("rule")) > 1)
        tls = item.get("tls")
        if tls is not None and tls.text("options", "default").removesuffix("@file") in strict:
            item.unsaid(
                "clients must show a certificate: see `mtls` of auth.yaml. It refuses every request until then", "tls"
            )
            for route in description.routes[before:]:
                route.close()
    if description.routes:
        description.middleware["timeouts"] = {"connect": "30s", "response_header": "1h", "idle": "1h"}
        root.report.said(
            WHOLE, "timeouts.connect 30s: Traefik's own; it waits for answers without end, and this for 1h"
        )
    for guard, expression, item in made.hidden:
        _keep_out(guard, expression, item, description)
    # A route that is left out answers 404 if another route would take its requests.
    targets = [route for route in description.routes if "target" in route.settings]
    description.routes += [route for route in made.left_out if any(map(route.overlaps, targets))]
    made.services.unused()
    made.middlewares.unused()
    return description


def _keep_out(guard: Route, expression: str, item: Item, description: Description) -> None:
    """Have the routes that are asked after a guarded one refuse what its expression fits, anywhere in a path."""
    text = (not_followed(expression) or without_looking(expression)).replace("'", ".")
    text = "(?i)" * text.startswith("(?i)") + anywhere(text.removeprefix("(?i)"))
    try:
        LinearRegex(text)
    except ValueError:
        return
    for route in description.routes:
        if "target" in route.settings and route.paths[0].rank > guard.paths[0].rank:
            route.authorize.append({"when": f"not path.matches('{text}')"})
    item.differs("what fits its expression is refused by the other routes, until its paths are said", "rule")


class _Routers:
    """Adds the routes of routers to a description. `left_out`: routes without a target, as a 404; `hidden`: guards that
    have no path, each with its expression."""

    def __init__(self, http: Item, description: Description) -> None:
        self.services = Services(http, description)
        self.middlewares = Middlewares(http, description)
        self.left_out: list[Route] = []
        self.hidden: list[tuple[Route, str, Item]] = []
        self._description = description

    def add(self, name: str, item: Item, *, twice: bool) -> None:
        """Add a router. `twice`: another one has the same rule."""
        item.ignore_keys("ruleSyntax", "observability", "parentRefs")
        if (entries := item.get("entryPoints")) is not None:
            entries.differs(
                "there is one port: its requests are taken there. Middlewares of entry points are in the static "
                "configuration, which is not read: add what they do"
            )
            entries.ignore()
        if (tls := item.get("tls")) is not None:
            tls.ignore()
        service, rule = item.text("service"), item.text("rule")
        named = [text.removesuffix("@file") for text in item.texts("middlewares")]
        internal = service.endswith("@internal")
        if self.middlewares.redirects_to_https(named) and (internal or (tls is None and twice)):
            item.unsaid(f"it sends clients to https: {_TLS}; let it send them there")
            self.middlewares.used(named)
            return
        leads = service == "noop@internal" and self.middlewares.lead_elsewhere(named)
        settings = {"respond": {"status": 404}} if leads else self.services.settings(service)
        if settings is None:
            why = f"{service} is a part of Traefik itself" if internal else "its service is not there"
            item.unsaid(f"{why}; the route is left out, and a 404 where another one would take its requests")
            self.middlewares.used(named)
        try:
            choices = alternatives(rule)
        except RuleError as why_not:
            item.unsaid(f"the rule cannot be read: {why_not}", "rule")
            return
        rank = (-(item.number("priority", 0) or len(rule)), name)
        route = Route(identifier(name), item.place, [], settings=dict(settings or GONE))
        placed = _placed(route, choices, rank, item)
        if settings is None:
            self.left_out += placed.routes
        else:
            self._add(placed, route, rank, named, item)

    def _add(self, placed: _Placed, route: Route, rank: tuple[object, ...], named: list[str], item: Item) -> None:
        for expression in placed.anywhere:
            guard = replace(route, paths=[Path(Pattern((), True), rank)], authorize=[], policies=[])
            self._apply(named, guard, item)
            self.hidden += [(guard, expression, item)] if guard.keeps_out else []
        for each in placed.routes:
            self._apply(named, each, item)
        for head, wider in placed.guesses:
            try:
                guess = matched(route, wider, rank, item)
            except Unmatched:
                continue
            self._apply(named, guess, item)
            self._description.guard(guess, head)
        self._description.routes += placed.routes
        item.said(f"route {route.name}" if placed.routes else "")

    def _apply(self, names: list[str], route: Route, item: Item) -> None:
        try:
            self.middlewares.apply(names, route)
        except Unsayable as why:
            item.unsaid(f"the path is sent as it came: {why}", "middlewares")


@dataclass(slots=True)
class _Placed:
    """The routes of a rule; what alternatives without one begin with, and a superset of them; expressions that are
    looked for anywhere."""

    routes: list[Route] = field(default_factory=list)
    guesses: list[tuple[str, Alternative]] = field(default_factory=list)
    anywhere: list[str] = field(default_factory=list)


def _placed(route: Route, choices: list[Alternative], rank: tuple[object, ...], item: Item) -> _Placed:
    placed = _Placed()
    for choice in choices:
        try:
            found = matched(route, choice, rank, item)
            like = next((other for other in placed.routes if _likeness(other) == _likeness(found)), None)
            if like is None:
                placed.routes.append(found)
            else:
                like.paths += found.paths
        except Unmatched as why:
            item.unsaid(f"{' && '.join(map(str, choice))} is left out: {why}", "rule")
            if why.instead is not None:
                wider = tuple(why.instead[1] if matcher is why.instead[0] else matcher for matcher in choice)
                placed.guesses.append((why.instead[1].arguments[0], wider))
            elif why.without is not None and why.without.name == "PathRegexp":
                placed.anywhere.append(why.without.arguments[0])
            elif why.without is not None:
                others = tuple(matcher for matcher in choice if matcher is not why.without)
                paths = [matcher.arguments[0] for matcher in others if matcher.name.startswith("Path")]
                placed.guesses.append((paths[0] if paths else "/", others))
    return placed


def _likeness(route: Route) -> tuple[object, ...]:
    return route.hosts, route.methods, route.headers, route.query, route.excluded, route.authorize
