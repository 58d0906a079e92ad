"""Puts routes into our order: what the original would answer by its own order of routes, ours must, by specificity.

The routes of the original are asked in the order of their rank. Ours are asked the most specific first. Where the two
differ for the requests that two routes have in common, the route that the original would take is written once more, for
just these requests: then it is the more specific one. Found by asking a real table for one request of each such kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote_plus

from gateway.http.methods import REGISTERED
from gateway.importing.description import Condition, Description, Path, Route
from gateway.importing.neighbours import Neighbours
from gateway.importing.patterns import TYPED, Pattern, covers, intersection, is_literal, transferred
from gateway.importing.regexes import sample_of
from gateway.routes.rule import Match, Predicate, Rule
from gateway.routes.table import RouteTable
from gateway.routes.wildcards import PatternError

ROUNDS = 6
MOST = 1000  # routes that are added

_STAND_INS = ("~", "~0", "a", "1")
"""What may stand for a wildcard in a request that is tried."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a route, for some of its hosts and methods, as it will be written."""

    route: Route
    path: Path
    hosts: tuple[str, ...]
    methods: frozenset[str] | None
    also: Route | None = None
    """The route whose conditions must hold, too."""


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    host: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def ordered(description: Description) -> list[Entry]:
    """The entries that have ours answer as the original does, in the order of the file."""
    entries = [entry for route in description.routes for entry in _entries(route) if _sayable(entry, description)]
    asked = sorted(entries, key=lambda entry: entry.path.rank)
    entries = asked = _reached(asked, description)
    added: list[Entry] = []
    for _ in range(ROUNDS):
        entries = _in_file(entries)
        known = set(map(_identity, entries))
        missing = [entry for entry in _missing(entries, asked, description) if _identity(entry) not in known]
        if not missing or len(added) > MOST:
            break
        added += missing
        entries = [*missing, *entries]
    for entry in added:
        if entry.also is not None:
            description.report.differs(
                entry.also.place,
                f"what it shares with line {entry.route.place} ({entry.path.pattern.text}) goes there, as before: "
                "that route is written again, for these requests",
            )
    return entries


def _sayable(entry: Entry, description: Description) -> bool:
    """Whether our table takes it: expressions that our engine does not take are found here."""
    try:
        RouteTable([(_rule(entry, "asked"), None)])
    except PatternError as error:
        description.report.unsaid(
            entry.route.place, f"{entry.path.pattern.text} is no path or condition of ours: {error}"
        )
        return False
    return True


def _reached(ranked: list[Entry], description: Description) -> list[Entry]:
    """Without those all of whose requests a route takes that the original asks before."""
    near = Neighbours(entry.path.pattern for entry in ranked)
    kept: dict[int, Entry] = {}
    for number, entry in enumerate(ranked):
        others = (kept[other] for other in near.of(entry.path.pattern) if other in kept)
        before = next((other for other in others if _takes_all(other, entry)), None)
        if before is None:
            kept[number] = entry
        elif before.route is not entry.route and not entry.route.leftover:
            description.report.unsaid(
                entry.route.place,
                f"{entry.path.pattern.text} is left out: line {before.route.place} comes before, and takes all of it",
            )
    return list(kept.values())


def _takes_all(before: Entry, entry: Entry) -> bool:
    route = before.route
    if route.excluded or not covers(before.path.pattern, entry.path.pattern):
        return False
    if not (
        _within_conditions(route.headers, entry.route.headers) and _within_conditions(route.query, entry.route.query)
    ):
        return False
    hosts = not route.hosts or (entry.hosts and all(any(_within(h, o) for o in route.hosts) for h in entry.hosts))
    methods = before.methods is None or (entry.methods is not None and entry.methods <= before.methods)
    return bool(hosts and methods)


def _within_conditions(fewer: dict[str, Condition], more: dict[str, Condition]) -> bool:
    return all(more.get(name) == condition for name, condition in fewer.items())


def _in_file(entries: list[Entry]) -> list[Entry]:
    """In the order of the original's lines, but those that only the order in the file tells apart, by their rank."""
    entries = sorted(entries, key=lambda entry: (entry.route.place.file, entry.route.place.line))
    places: dict[str, list[int]] = {}
    for number, entry in enumerate(entries):
        places.setdefault(entry.path.pattern.text, []).append(number)
    for numbers in places.values():
        ranked = sorted([entries[number] for number in numbers], key=lambda entry: entry.path.rank)
        for number, entry in zip(numbers, ranked, strict=True):
            entries[number] = entry
    return entries


def _entries(route: Route) -> Iterator[Entry]:
    methods = None if route.methods is None else frozenset(route.methods)
    for path in route.paths:
        yield Entry(route, path, route.hosts, methods)


def _missing(entries: list[Entry], ranked: list[Entry], description: Description) -> Iterator[Entry]:
    """What must be written, too, for one request of each kind that several routes could take."""
    table = RouteTable([(_rule(entry, str(number)), entry) for number, entry in enumerate(entries)])
    found: dict[object, Entry] = {}
    named = {method for entry in entries for method in entry.methods or ()}
    unnamed = min(REGISTERED - named, default="GET")
    near = Neighbours(entry.path.pattern for entry in ranked)
    for region in _regions(entries):
        for asked in _requests(region, unnamed):
            takers = (ranked[number] for number in near.of(Pattern(tuple(asked.path[1:].split("/")))))
            owner = next((entry for entry in takers if _takes(entry, asked)), None)
            match = table.match(
                asked.method, asked.host, asked.path, asked.query, list(asked.headers), dict(asked.headers)
            )
            winner = match.value if isinstance(match, Match) else None
            if (owner and owner.route) is (winner and winner.route):
                continue
            if owner is None:
                description.report.differs(
                    region.route.place, f"{asked.path} was answered 404 by the original, and goes to this route here"
                )
            elif (entry := _narrowed(owner, region, asked)) is not None:
                found.setdefault(_identity(entry), entry)
    yield from found.values()


def _identity(entry: Entry) -> object:
    return entry.route, entry.path.pattern, entry.hosts, entry.methods, entry.also


def _regions(entries: list[Entry]) -> Iterator[Entry]:
    """For each two entries, what they have in common, as an entry; and what a route excludes."""
    near = Neighbours(entry.path.pattern for entry in entries)
    for number, one in enumerate(entries):
        excluded = [*one.route.excluded, *([one.path.pattern.excluded] if one.path.pattern.excluded else [])]
        for pattern in excluded:
            region = replace(one, path=Path(pattern, ()), also=None)
            yield region
            others = [entries[other] for other in near.of(pattern)]
            shared = [_common(region, other) for other in others if other.route is not one.route]
            yield from [each for each in shared if each is not None]
        for other in [entries[index] for index in near.of(one.path.pattern) if index > number]:
            if other.route is not one.route and (both := _common(one, other)) is not None:
                yield both


def _common(one: Entry, other: Entry) -> Entry | None:
    pattern = intersection(one.path.pattern, other.path.pattern)
    if pattern is None:
        return None
    hosts = _common_hosts(one.hosts, other.hosts)
    methods = (
        one.methods if other.methods is None else other.methods if one.methods is None else one.methods & other.methods
    )
    if hosts is None or (methods is not None and not methods) or _contradict(one.route, other.route):
        return None
    return Entry(one.route, Path(pattern, ()), hosts, methods, other.route)


def _common_hosts(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...] | None:
    if not one or not other:
        return one or other
    both = [a for a in one if any(_within(a, b) for b in other)] + [b for b in other if any(_within(b, a) for a in one)]
    return tuple(dict.fromkeys(both)) or None


def _within(host: str, pattern: str) -> bool:
    return host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _contradict(one: Route, other: Route) -> bool:
    pairs = ((one.headers, other.headers), (one.query, other.query))
    return any(a[name] != b[name] for a, b in pairs for name in a.keys() & b.keys())


def _narrowed(owner: Entry, region: Entry, asked: _Asked) -> Entry | None:
    """The entry that the original would take, for the paths, hosts and conditions of this region."""
    pattern = intersection(owner.path.pattern, region.path.pattern)
    path = None if pattern is None else _sent(owner.path, pattern)
    if path is None:
        return None
    others = [route for route in (region.route, region.also) if route is not None and route is not owner.route]
    also = next((route for route in others if route.headers or route.query), others[0] if others else None)
    methods = region.methods if owner.methods is None else owner.methods
    if owner.methods is not None and region.methods is not None:
        methods = owner.methods & region.methods
    return Entry(owner.route, path, _common_hosts(owner.hosts, region.hosts) or owner.hosts, methods, also)


def _sent(path: Path, pattern: Pattern) -> Path | None:
    if path.strip is not None or path.rewrite is None:
        return replace(path, pattern=pattern)
    rewrite = transferred(path.rewrite, path.pattern, pattern)
    return None if rewrite is None else replace(path, pattern=pattern, rewrite=rewrite)


def _rule(entry: Entry, name: str) -> Rule:
    also = entry.also
    headers = entry.route.headers | (also.headers if also else {})
    query = entry.route.query | (also.query if also else {})
    return Rule(
        id=name,
        path=entry.path.pattern.text,
        hosts=entry.hosts,
        methods=entry.methods,
        headers=tuple([_predicate(key, condition.predicate) for key, condition in headers.items()]),
        query=tuple([_predicate(key, condition.predicate) for key, condition in query.items()]),
    )


def _predicate(name: str, predicate: object) -> Predicate:
    if isinstance(predicate, str):
        return Predicate(name, equals=predicate)
    keys = predicate if isinstance(predicate, dict) else {}
    return Predicate(name, equals=keys.get("exact"), regex=keys.get("regex"), present=keys.get("present", True))


def _requests(region: Entry, unnamed: str) -> Iterator[_Asked]:
    """Requests of this kind, and of no narrower one, as far as some can be made up. `unnamed` is a method that no route
    names."""
    conditions = [region.route.headers, region.route.query]
    if region.also is not None:
        conditions = [conditions[0] | region.also.headers, conditions[1] | region.also.query]
    headers = {name: condition.sample for name, condition in conditions[0].items() if condition.predicate != _ABSENT}
    query = {name: condition.sample for name, condition in conditions[1].items() if condition.predicate != _ABSENT}
    if None in headers.values() or None in query.values():
        return
    host = region.hosts[0].replace("*", "~") if region.hosts else "~"
    method = unnamed if region.methods is None else min(region.methods)
    lines = tuple((name.lower().encode(), (value or "").encode()) for name, value in headers.items())
    pairs = "&".join(f"{quote_plus(name)}={quote_plus(value or '')}" for name, value in query.items())
    for path in dict.fromkeys(_samples(region.path.pattern)):
        yield _Asked(method, host, path, pairs.encode(), lines)


_ABSENT = {"present": False}


def _samples(pattern: Pattern) -> Iterator[str]:
    """Paths that fit; of expressions, the texts differ."""
    variants = 4 if any(map(TYPED.fullmatch, pattern.segments)) else 1
    for variant in range(variants):
        for stand_in in _STAND_INS:
            segments = [_segment(segment, stand_in, variant) for segment in pattern.segments]
            path = "/" + "/".join([*segments, *(["~"] if pattern.rest else [])])
            if pattern.fits(path):
                yield path
                break


def _segment(segment: str, stand_in: str, variant: int) -> str:
    if typed := TYPED.fullmatch(segment):
        return typed[1] + sample_of(typed[2], variant) + typed[3]
    return segment if is_literal(segment) else _filled(segment, stand_in)


def _filled(segment: str, stand_in: str) -> str:
    if "*" in segment:
        return segment.replace("*", stand_in)
    head, _, rest = segment.partition("{")
    return head + stand_in + rest.rpartition("}")[2]


def _takes(entry: Entry, asked: _Asked) -> bool:
    """Whether the original takes a request by this path of a route."""
    if entry.hosts and not any(_within(asked.host, host) for host in entry.hosts):
        return False
    if entry.methods is not None and asked.method not in entry.methods:
        return False
    if any(pattern.fits(asked.path) for pattern in entry.route.excluded):
        return False
    return entry.path.pattern.fits(asked.path) and _conditions_hold(entry.route, asked)


def _conditions_hold(route: Route, asked: _Asked) -> bool:
    if not route.headers and not route.query:
        return True
    rule = _rule(Entry(route, Path(Pattern((), True), ()), (), None), "asked")
    table = RouteTable([(rule, None)])
    match = table.match("GET", "", "/", asked.query, list(asked.headers), dict(asked.headers))
    return isinstance(match, Match)
