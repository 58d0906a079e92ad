"""Writes a description as our three files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml

from gateway.importing.description import Description, Policy, Reference, Route, Settings, free_name
from gateway.importing.entries import Entry
from gateway.importing.order import ordered, turn

_ORDER = ("id", "path", "paths", "host", "methods", "headers", "query", "target", "redirect", "respond")


@dataclass(frozen=True, slots=True)
class Written:
    """The contents of our files, by name, and the routes of routes.yaml, in its order."""

    files: dict[str, str]
    routes: list[Route]


def written(description: Description) -> Written:
    """Our files; those that would say nothing are left out."""
    names: dict[Route, list[str]] = {}
    found = list(_routes(_in_place(ordered(description)), protected=bool(description.schemes)))
    taken: set[str] = set()
    for settings, entry in sorted(found, key=lambda each: (each[1].path.stray, each[1].also is not None)):
        settings["id"] = free_name(entry.route.name, taken)
        taken.add(settings["id"])
        names.setdefault(entry.route, []).append(settings["id"])
    source = description.report.source
    blocks = [_block(settings, entry, source) for settings, entry in found if not entry.path.stray]
    strays = [_block(settings, entry, source) for settings, entry in found if entry.path.stray]
    head: Settings = {"base_path": "/"} | ({"defaults": description.defaults} if description.defaults else {})
    head |= {"services": description.services} if description.services else {}
    text = _HEAD.format(source=source) + _yaml(head) + "\nroutes:\n" + "\n".join(blocks)
    if strays:
        text += "\n" + _STRAYS + "\n".join(strays)
    files = {"routes.yaml": text}
    auth: Settings = description.auth | ({"schemes": description.schemes} if description.schemes else {})
    auth |= {"consumers": list(description.consumers.values())} if description.consumers else {}
    for name, contents in (("middleware.yaml", _middleware(description, names)), ("auth.yaml", auth)):
        if contents:
            files[name] = _HEAD.format(source=source) + _yaml(contents)
    for route in description.routes:
        paths = [path.pattern for path in route.paths if path.pattern.segments]
        if probes := sorted({probe for pattern in paths for probe in _PROBES if pattern.fits(probe)}):
            text = f"GET {', '.join(probes)}: probes, which the gateway answers itself for every host"
            description.report.differs(route.place, text)
        if route not in names and not route.leftover:
            description.report.unsaid(route.place, "none of its paths can be expressed, so the route is left out")
    in_file = sorted((entry for _, entry in found), key=lambda entry: entry.path.stray)
    return Written(files, [entry.route for entry in in_file])


_PROBES = ("/health", "/health/live", "/health/ready")
_HEAD = "# Imported from {source}; import-report.md says what became of each line.\n\n"
_STRAYS = (
    "# Prefixes of the original are compared by characters: these routes take what goes on behind such a prefix in\n"
    "# the same segment (/apix for /api). Remove them where that is not meant.\n"
)


def _in_place(entries: list[Entry]) -> list[tuple[Entry, bool]]:
    """Each entry, and whether it must stay where it is: only the order in the file distinguishes it from one of another
    route, with the same path, or with another expression at the same place."""
    routes: dict[object, set[Route]] = {}
    for entry in entries:
        routes.setdefault(turn(entry.path.pattern), set()).add(entry.route)
    shared = [len(routes[turn(entry.path.pattern)]) > 1 for entry in entries]
    return [
        (replace(entry, path=replace(entry.path, stray=False)), True) if contested else (entry, False)
        for entry, contested in zip(entries, shared, strict=True)
    ]


def _routes(entries: list[tuple[Entry, bool]], *, protected: bool) -> Iterator[tuple[Settings, Entry]]:
    """Each route once, with all of its paths that are sent in the same way; of those that stay where they are, only
    such that follow each other."""
    groups: list[list[Entry]] = []
    open_groups: dict[object, list[Entry]] = {}
    last: object = None
    for entry, contested in entries:
        path = entry.path
        alone = path.pattern if path.rewrite is not None else None
        key = (
            entry.route,
            entry.hosts,
            entry.methods,
            entry.also,
            path.strip,
            path.rewrite,
            path.stray,
            alone,
            contested,
        )
        if key not in open_groups or (contested and key != last):
            groups.append([])
            open_groups[key] = groups[-1]
        open_groups[key].append(entry)
        last = key
    for group in groups:
        yield _settings(group, protected=protected), group[0]


def _settings(entries: list[Entry], *, protected: bool) -> Settings:
    first = entries[0]
    route, also = first.route, first.also
    paths = list(dict.fromkeys(entry.path.pattern.text for entry in entries))
    settings: Settings = {"id": "", "path": paths[0]} if len(paths) == 1 else {"id": "", "paths": paths}
    if first.hosts:
        settings["host"] = first.hosts[0] if len(first.hosts) == 1 else list(first.hosts)
    if first.methods is not None:
        settings["methods"] = sorted(first.methods)
    for key, own in (("headers", route.headers), ("query", route.query)):
        conditions = own | (getattr(also, key) if also is not None else {})
        if conditions:
            settings[key] = {name: condition.predicate for name, condition in conditions.items()}
    settings |= {key: route.settings[key] for key in _ORDER if key in route.settings}
    if "redirect" in settings and first.path.rewrite is not None:
        settings["redirect"] = settings["redirect"] | {"to": settings["redirect"]["to"] + first.path.rewrite}
    if "target" in settings:
        if first.path.rewrite is not None:
            settings["rewrite"] = first.path.rewrite
        if first.path.strip is not None:
            settings["strip_prefix"] = first.path.strip
        settings |= {key: value for key, value in route.settings.items() if key not in _ORDER}
    if route.auth is not None or protected:
        settings["auth"] = route.auth or []
    if rules := [*route.authorize, *route.conditions]:
        settings["authorize"] = rules
    return settings


def _block(settings: Settings, entry: Entry, source: str) -> str:
    place = entry.route.place
    return f"# {place.file or source}:{place.line} {place.where}\n" + _yaml([settings])


def _middleware(description: Description, names: dict[Route, list[str]]) -> Settings:
    rules: dict[Policy, dict[str, None]] = {}
    every = {name for ids in names.values() for name in ids}
    alone: dict[str, Policy] = {}  # of sections that are one rule for all of their routes
    for route, ids in names.items():
        for policy in route.policies:
            first = policy if policy.name else alone.setdefault(policy.section, policy)
            if first.settings != policy.settings:
                text = f"{policy.section} has one rule for all of its routes: that of line {first.place}"
                description.report.differs(policy.place, text)
            rules.setdefault(first, {}).update(dict.fromkeys(ids))
    sections: Settings = dict(description.middleware)
    for policy, routes in rules.items():
        section: Settings = dict(sections.get(policy.section, {}))
        sections[policy.section] = section
        settings = policy.settings if routes.keys() == every else {"routes": list(routes)} | policy.settings
        if policy.name:
            section[free_name(policy.name, section)] = settings
        else:
            section |= settings
    return sections


class _Dumper(yaml.SafeDumper):
    """Without aliases, and with lists of plain texts on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    text = str(data) if isinstance(data, Reference) else data.replace("${", "$${")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _list(dumper: yaml.SafeDumper, data: Iterable[Any]) -> yaml.Node:
    items = list(data)
    plain = all(isinstance(item, str) and not isinstance(item, Reference) for item in items)
    flat = plain and sum(map(len, items)) < 90
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flat)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Reference, _text)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(tuple, _list)


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True, default_flow_style=False)
