"""Paths of routes as they will be written, the requests that two of them share, and which of them a request fits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote_plus

from gateway.importing.description import Path, Route
from gateway.importing.patterns import TYPED, Pattern, covers, intersection, is_literal
from gateway.importing.regexes import sample_of
from gateway.routes.rule import Match, Predicate, Rule
from gateway.routes.table import RouteTable
from gateway.routes.wildcards import PatternError

_STAND_INS = ("~", "~0", "a", "1")
"""Sample values of wildcards in tried requests."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is tried."""

    method: str
    host: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a route, for some of its hosts and methods, as it will be written."""

    route: Route
    path: Path
    hosts: tuple[str, ...]
    methods: frozenset[str] | None
    also: Route | None = None
    """The route whose conditions must hold, too."""
    ahead: bool = False
    """It is a part of a route, written again to come before others."""

    @property
    def weight(self) -> int:
        """How many predicates it has."""
        routes = [self.route, *([self.also] if self.also else [])]
        conditions = {
            (kind, name) for route in routes for kind in ("headers", "query") for name in getattr(route, kind)
        }
        return len(conditions) + (self.methods is not None)

    @property
    def identity(self) -> object:
        """The same for entries of which one is enough."""
        also = self.also if self.also is not None and (self.also.headers or self.also.query) else None
        return "404" if self.route.leftover else self.route, self.path.pattern, self.hosts, self.methods, also

    def takes(self, asked: Asked) -> bool:
        """Whether the original takes a request by this path of a route."""
        if self.hosts and not any(within(asked.host, host) for host in self.hosts):
            return False
        if self.methods is not None and asked.method not in self.methods:
            return False
        if any(pattern.fits(asked.path) for pattern in self.route.excluded):
            return False
        if not self.path.pattern.fits(asked.path):
            return False
        if not self.route.headers and not self.route.query:
            return True
        conditions = Entry(self.route, Path(Pattern((), True), ()), (), None).rule("asked")
        table = RouteTable([(conditions, None)])
        return isinstance(table.match("GET", "", "/", asked.query, list(asked.headers), dict(asked.headers)), Match)

    def takes_all(self, entry: Entry) -> bool:
        """Whether it takes all requests of another entry, as far as that is known."""
        route = self.route
        if route.excluded or not covers(self.path.pattern, entry.path.pattern):
            return False
        conditions = ((route.headers, entry.route.headers), (route.query, entry.route.query))
        if not all(more.get(name) == condition for fewer, more in conditions for name, condition in fewer.items()):
            return False
        hosts = not route.hosts or (entry.hosts and all(any(within(h, o) for o in route.hosts) for h in entry.hosts))
        methods = self.methods is None or (entry.methods is not None and entry.methods <= self.methods)
        return bool(hosts and methods)

    def common(self, other: Entry) -> Entry | None:
        """The requests of both, as an entry; None where there are none, or it is not known."""
        pattern = intersection(self.path.pattern, other.path.pattern, closely=True)
        if pattern is None:
            return None
        hosts = common_hosts(self.hosts, other.hosts)
        methods = common_methods(self.methods, other.methods)
        conditions = ((self.route.headers, other.route.headers), (self.route.query, other.route.query))
        contradict = any(a[name] != b[name] for a, b in conditions for name in a.keys() & b.keys())
        if hosts is None or (methods is not None and not methods) or contradict:
            return None
        return Entry(self.route, Path(pattern, ()), hosts, methods, other.route)

    def rule(self, name: str) -> Rule:
        """The rule of our table for it, without what is sent."""
        also = self.also
        headers = self.route.headers | (also.headers if also else {})
        query = self.route.query | (also.query if also else {})
        return Rule(
            id=name,
            path=self.path.pattern.text,
            hosts=self.hosts,
            methods=self.methods,
            headers=tuple([_predicate(key, condition.predicate) for key, condition in headers.items()]),
            query=tuple([_predicate(key, condition.predicate) for key, condition in query.items()]),
        )

    def sent_for(self, asked: Asked) -> str | None:
        """The path that is sent for that of a request."""
        rule = Rule("asked", self.path.pattern.text, rewrite=self.path.rewrite, strip_prefix=self.path.strip)
        try:
            match = RouteTable([(rule, None)]).match("GET", "", asked.path, b"", [], {})
        except PatternError:
            return None
        return match.path if isinstance(match, Match) else None

    def differs_in_sending(self, other: Entry) -> bool:
        """Whether some path may be sent in another way than by the other entry."""
        a, b = self.path, other.path
        refers = a.rewrite is not None and re.search(r"[$\{]", a.rewrite) is not None
        return (a.strip, a.rewrite) != (b.strip, b.rewrite) or (refers and a.pattern != b.pattern)

    def requests(self, unnamed: str) -> Iterator[Asked]:
        """Requests of this kind, and of no narrower one, as far as some can be made up. `unnamed` is a method that no
        route names."""
        conditions = [self.route.headers, self.route.query]
        if self.also is not None:
            conditions = [conditions[0] | self.also.headers, conditions[1] | self.also.query]
        headers = {
            name: condition.sample for name, condition in conditions[0].items() if condition.predicate != _ABSENT
        }
        query = {name: condition.sample for name, condition in conditions[1].items() if condition.predicate != _ABSENT}
        if None in headers.values() or None in query.values():
            return
        host = self.hosts[0].replace("*", "~") if self.hosts else "~"
        method = unnamed if self.methods is None else min(self.methods)
        lines = tuple((name.lower().encode(), (value or "").encode()) for name, value in headers.items())
        pairs = "&".join(f"{quote_plus(name)}={quote_plus(value or '')}" for name, value in query.items())
        for path in dict.fromkeys(_samples(self.path.pattern)):
            yield Asked(method, host, path, pairs.encode(), lines)


def entries_of(route: Route) -> Iterator[Entry]:
    """The entries of a route, one for each of its paths."""
    methods = None if route.methods is None else frozenset(route.methods)
    for path in route.paths:
        if any(covers(pattern, path.pattern) for pattern in route.excluded):
            continue  # it takes nothing
        yield Entry(route, path, route.hosts, methods)


def common_hosts(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...] | None:
    """The hosts of both, where no hosts are all; None where there is none."""
    if not one or not other:
        return one or other
    both = [a for a in one if any(within(a, b) for b in other)] + [b for b in other if any(within(b, a) for a in one)]
    return tuple(dict.fromkeys(both)) or None


def common_methods(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    """The methods of both, where None is all."""
    if one is None or other is None:
        return other if one is None else one
    return one & other


def within(host: str, pattern: str) -> bool:
    """Whether a host is this one, or fits this wildcard."""
    return host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _predicate(name: str, predicate: object) -> Predicate:
    if isinstance(predicate, str):
        return Predicate(name, equals=predicate)
    keys = predicate if isinstance(predicate, dict) else {}
    return Predicate(name, equals=keys.get("exact"), regex=keys.get("regex"), present=keys.get("present", True))


_ABSENT = {"present": False}


def _samples(pattern: Pattern) -> Iterator[str]:
    """Paths that fit; of expressions, the texts differ, and of the rest, the depth."""
    variants = 4 if any(map(TYPED.fullmatch, pattern.segments)) else 1
    for variant in range(variants):
        for rest in ("/~", "/~/~") if pattern.rest else ("",):
            for stand_in in _STAND_INS:
                segments = [_segment(segment, stand_in, variant) for segment in pattern.segments]
                path = ("/" + "/".join(segments) if segments or not rest else "") + rest
                if pattern.fits(path):
                    yield path
                    break


def _segment(segment: str, stand_in: str, variant: int) -> str:
    if typed := TYPED.fullmatch(segment):
        return typed[1] + sample_of(typed[2], variant) + typed[3]
    if is_literal(segment):
        return segment
    if "*" in segment:
        return segment.replace("*", stand_in)
    head, _, rest = segment.partition("{")
    return head + stand_in + rest.rpartition("}")[2]
