"""A configuration in a neutral form. Readers fill it, `writing` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.config.models.auth.authorization import NOT_TRANSLATED
from gateway.importing.patterns import Pattern, intersection, transferred
from gateway.importing.report import Place, Report, Variable

Settings = dict[str, Any]
"""Keys of one of our files, as they are written."""


class Reference(str):
    """A text with `${...}` in it that is meant: anything else has its `${` escaped when it is written."""

    __slots__ = ()


def marked(text: str) -> str:
    """A text as a `Reference`, where it has a placeholder."""
    return Reference(text) if "${" in text else text


@dataclass(frozen=True, slots=True)
class Path:
    """Paths of a route, and how they are sent: as they are, by `rewrite`, or without `strip`.

    `rank` sorts the paths of all routes as the original asks them: the first that fits takes the request.
    """

    pattern: Pattern
    rank: tuple[Any, ...]
    rewrite: str | None = None
    strip: str | None = None
    stray: bool = False
    """It takes what only a comparison by characters takes: `/apix` for the prefix `/api`."""


def narrowed(path: Path, pattern: Pattern) -> Path | None:
    """The path for a part of what it takes, sent as before; None where how that is sent is not known."""
    if path.strip is not None or path.rewrite is None:
        return replace(path, pattern=pattern)
    rewrite = transferred(path.rewrite, path.pattern, pattern)
    return None if rewrite is None else replace(path, pattern=pattern, rewrite=rewrite)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a header or query parameter, as our predicate, and a value that fulfils it."""

    predicate: Any
    sample: str | None


@dataclass(slots=True, eq=False)
class Policy:
    """One rule of middleware.yaml, for the routes that hold it."""

    section: str
    name: str
    settings: Settings
    place: Place


@dataclass(slots=True, eq=False)
class Route:
    """A route of the original: what it takes, and what becomes of it.

    `excluded`: of what `paths` take, the part that it does not. `settings` has `target`, `redirect` or `respond`, and
    the other keys of the route.
    """

    name: str
    place: Place
    paths: list[Path]
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] | None = None
    headers: dict[str, Condition] = field(default_factory=dict)
    query: dict[str, Condition] = field(default_factory=dict)
    excluded: list[Pattern] = field(default_factory=list)
    settings: Settings = field(default_factory=dict)
    auth: list[str] | None = None
    authorize: list[Settings] = field(default_factory=list)
    conditions: list[Settings] = field(default_factory=list)
    """Rules of `authorize`, too, that say nothing about who calls."""
    policies: list[Policy] = field(default_factory=list)
    leftover: bool = False
    """It only answers what the others of its hosts leave, and is not missed where they leave nothing."""

    @property
    def keeps_out(self) -> bool:
        """Whether it restricts access."""
        guards = any(policy.section == "ip_allow" for policy in self.policies)
        return bool(self.auth or self.authorize or guards)

    def overlaps(self, other: Route) -> bool:
        """Whether a path of this route and one of the other have paths in common."""
        return any(intersection(own.pattern, path.pattern) for own in self.paths for path in other.paths)

    def close(self) -> None:
        """Refuse every request: the access rules of the original cannot be expressed, and an open route would be
        worse."""
        if CLOSED not in self.authorize:
            self.authorize.append(CLOSED)


CLOSED: Settings = {"when": NOT_TRANSLATED}


@dataclass(frozen=True, slots=True)
class File:
    """A file beside ours: what is at a place of the original; no contents: that does not have them."""

    text: str | None
    place: Place


@dataclass(slots=True)
class Description:
    """A whole configuration."""

    report: Report
    routes: list[Route] = field(default_factory=list)
    defaults: Settings = field(default_factory=dict)
    """Keys of all routes."""
    services: dict[str, Settings] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)
    upstreams: dict[str, str] = field(default_factory=dict)
    """The original's names of services, and our name for each."""
    middleware: Settings = field(default_factory=dict)
    """Sections of middleware.yaml that are no rules for routes."""
    schemes: dict[str, Settings] = field(default_factory=dict)
    consumers: dict[str, Settings] = field(default_factory=dict)
    consumer_ids: dict[str, str] = field(default_factory=dict)
    """The names of consumers by the ids that the original refers to."""
    issuers: list[Settings] = field(default_factory=list)
    """Issuers of tokens that consumers name."""
    auth: Settings = field(default_factory=dict)
    """Other keys of auth.yaml."""
    files: dict[str, File] = field(default_factory=dict)
    """Files that `tls` of services names, and that no file of the original is."""
    targets: set[str] = field(default_factory=set)
    """Services that a route goes to."""

    def guard(self, route: Route, head: str) -> None:
        """Add a route for all paths below `head`, if its own paths cannot be expressed: if it restricted access,
        it refuses every request, since a wider route would take its requests otherwise."""
        if route.keeps_out and route.paths:
            route.close()
            self.report.differs(route.place, f"every path below {head} is refused, until its paths are configured")
            self.routes.append(route)

    def secret(self, name: str, place: Place, what: str = "the value", stand_in: str = "") -> Reference:
        """The environment variable that holds what is secret at this place."""
        base = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "SECRET"
        base = base if base[0].isalpha() else f"S_{base}"
        variable = Variable(place, what, stand_in) if stand_in else Variable(place, what)
        free, number = base, 1
        while self.report.variables.get(free, variable) != variable:
            number += 1
            free = f"{base}_{number}"
        self.report.variables[free] = variable
        return Reference("${" + free + "}")

    def policy(self, section: str, name: str, settings: Settings, place: Place) -> Policy:
        """A rule of middleware.yaml; where nothing is counted, the same one for all who want the same."""
        if section not in ("rate_limits", "quotas"):
            for policy in self.policies:
                if (policy.section, policy.settings) == (section, settings):
                    return policy
        names = [policy.name for policy in self.policies if policy.section == section]
        self.policies.append(Policy(section, free_name(name, names) if name else "", settings, place))
        return self.policies[-1]

    def scheme(self, wanted: str, settings: Settings) -> str:
        """The name of a scheme with these settings, which is made where there is none."""
        return _named(self.schemes, wanted, settings)

    def service(self, wanted: str, settings: Settings) -> str:
        """The name of a service with these settings, which is made where there is none."""
        return _named(self.services, wanted, settings)

    def file(self, wanted: str, ending: str, text: str | None, place: Place) -> str:
        """The name of the file with what is at this place."""
        file = File(text, place)
        known = next((name for name, other in self.files.items() if other == file and name.endswith(ending)), None)
        if known is None:
            known = free_name(wanted, (name.removesuffix(ending) for name in self.files)) + ending
            self.files[known] = file
        return known

    def target(self, host: str, address: str, *, secure: bool, tls: Settings | None = None) -> str:
        """The service of the upstream that has this host as its name; without one, the address, or a service for it
        where it has `tls`."""
        secured: Settings = ({"protocol": "https"} if secure else {}) | ({"tls": tls} if tls else {})
        if (name := self.upstreams.get(host)) is None:
            if not tls:
                return marked(address)
            endpoint = address.removeprefix("https://")
            endpoint += "" if re.search(r":(?:\d+|\$\{\w+\})$", endpoint) else ":443"
            name = self.service(re.sub(r":\d+$", "", host), {"endpoints": [marked(endpoint)]} | secured)
            self.targets.add(name)
            return name
        upstream = {key: value for key, value in self.services[name].items() if key not in ("protocol", "tls")}
        wanted = upstream | secured
        if name not in self.targets:
            self.services[name] = wanted
        elif self.services[name] != wanted:
            name = self.service(name, wanted)  # others go to it in another way
        self.targets.add(name)
        return name


def _named(existing: dict[str, Settings], wanted: str, settings: Settings) -> str:
    for name, others in existing.items():
        if others == settings:
            return name
    name = free_name(wanted, existing)
    existing[name] = settings
    return name


def identifier(text: str, longest: int = 60) -> str:
    """A text of the original as an id of ours: letters, digits and hyphens."""
    words = re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-_")[:longest].strip("-_")
    return words or "route"


def literal(text: str) -> str:
    """A text in a condition of ours, which knows no escapes."""
    return f"'{text}'" if '"' in text else f'"{text}"'


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """This name, or one like it that is not taken."""
    wanted, names = identifier(wanted), set(taken)
    name, number = wanted, 1
    while name in names:
        number += 1
        name = f"{wanted}-{number}"
    return name
