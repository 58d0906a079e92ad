"""Locations of nginx: which paths they take, and before which others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.importing.description import Path, narrowed
from gateway.importing.nginx.directives import Directive
from gateway.importing.patterns import Pattern, are_apart, beginning, below, covers, intersection, literal
from gateway.importing.regexes import Unsayable, patterns_of


@dataclass(frozen=True, slots=True)
class Location:
    """One location: `kind` is `=`, `^~`, `~`, `~*`, `@` or "" (a prefix), `text` what it is compared with."""

    directive: Directive
    kind: str
    text: str

    @property
    def is_expression(self) -> bool:
        """Whether it is a regular expression."""
        return self.kind in ("~", "~*")


def is_refused(directive: Directive) -> bool:
    """Whether a location refuses every request."""
    returned, denied = directive.first("return"), directive.first("deny")
    if returned is not None:
        return returned.argument in ("401", "403", "404", "410", "444")
    return denied is not None and denied.argument == "all" and not directive.first("allow")


def location_of(directive: Directive) -> Location:
    """The parts of a `location`."""
    arguments = directive.arguments
    if len(arguments) > 1:
        return Location(directive, arguments[0], arguments[1])
    text = directive.argument
    if text.startswith("@"):
        return Location(directive, "@", text)
    if match := re.match(r"(=|\^~|~\*|~)(.+)", text):
        return Location(directive, match[1], match[2])
    return Location(directive, "", text)


class NeverAsked(Unsayable):
    """No request comes to a location."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One question of nginx: does a location take what has come here? `within`: what can come; None: everything.

    `region`: steps of one region are asked one after the other for the same requests, by their rank.
    """

    rank: tuple[object, ...]
    within: tuple[Pattern, ...] | None
    region: int


@dataclass(frozen=True, slots=True)
class _Level:
    """Those that stand in one location, or in the server: prefixes from the longest on, expressions by their lines."""

    exact: list[Location]
    prefixes: list[Location]
    expressions: list[Location]


class Locations:
    """All locations of a server as one list of questions, of which the first that fits a request decides.

    nginx looks for the longest prefix, then within that one, and so on; only then it asks the expressions, those of the
    innermost level first, without those beside a prefix with `^~` (ngx_http_core_find_location). So that a list says
    the same, a prefix that is `^~`, or has locations within it, or is in the region of such a one is asked together
    with the expressions that count there, before all that is simple: exact ones, expressions, prefixes by length.
    """

    def __init__(self, rank: tuple[object, ...], found: list[Location]) -> None:
        self.all = found
        self._rank = rank
        self._own: dict[Location, list[Path]] = {}
        self._steps: dict[Location, list[_Step]] = {}
        self._slashes: dict[Location, list[Path]] = {}
        self._asked = self._regions = 0
        self._within: dict[Directive, list[Location]] = {}
        known = {location.directive: location for location in found}
        self._around = {location: known.get(above) for location in found if (above := location.directive.above)}
        for location in found:
            if (above := location.directive.above) is not None:
                self._within.setdefault(above, []).append(location)
        if found:
            server = self._level(next(each for each in self._within if each not in known))
            self._ask_exact(server, None, 0)
            apart = [each.text for each in server.prefixes if each.kind == "^~" or self._within.get(each.directive)]
            simple = [each for each in server.prefixes if not each.text.startswith(tuple(apart))]
            for prefix in [each for each in server.prefixes if each not in simple]:
                outer = [] if prefix.kind == "^~" else [server.expressions]
                self._ask_prefix(prefix, tuple(prefix_patterns(prefix.text)), outer)
            for expression in server.expressions:
                self._ask_expression(expression, None, 0)
            for prefix in simple:
                self._ask(prefix, None, 0)

    def _level(self, directive: Directive) -> _Level:
        found = [location for location in self._within.get(directive, ()) if location.kind != "@"]
        return _Level(
            [location for location in found if location.kind == "="],
            sorted([location for location in found if location.kind in ("", "^~")], key=lambda each: -len(each.text)),
            [location for location in found if location.is_expression],
        )

    def _ask_exact(self, level: _Level, within: tuple[Pattern, ...] | None, region: int) -> None:
        """The exact ones, and the redirects of those who forgot the slash of one that ends in it."""
        for location in level.exact:
            self._ask(location, within, region)
        rank = self._next_rank()
        texts = {location.text for location in (*level.exact, *level.prefixes)}
        for location in (*level.exact, *level.prefixes):
            bare = location.text.rstrip("/")
            came = within is None or any(pattern.fits(bare) for pattern in within)
            if bare and bare != location.text and bare not in texts and came:
                self._slashes.setdefault(location, []).append(Path(literal(bare), rank))

    def _ask_prefix(
        self, prefix: Location, within: tuple[Pattern, ...], outer: list[list[Location]], region: int | None = None
    ) -> None:
        """Ask the locations in a prefix, the expressions within it and, from the nearest on, around it, then itself."""
        if region is None:
            self._regions += 1
            region = self._regions
        level = self._level(prefix.directive)
        self._ask_exact(level, within, region)
        for inner in level.prefixes:
            around = [] if inner.kind == "^~" else [level.expressions]
            self._ask_prefix(inner, self._common(inner, within), [*around, *outer])
        for expression in (*level.expressions, *(each for group in outer for each in group)):
            self._ask_expression(expression, within, region)
        self._ask(prefix, within, region)

    def _ask_expression(self, expression: Location, within: tuple[Pattern, ...] | None, region: int) -> None:
        """Ask the locations in an expression, then itself: where it fits, nothing outside of it is asked."""
        level = self._level(expression.directive)
        if self._within.get(expression.directive):
            inside = self._common(expression, within)
            self._ask_exact(level, inside, region)
            for inner in level.prefixes:
                around = [] if inner.kind == "^~" else [level.expressions]
                self._ask_prefix(inner, self._common(inner, inside), around, region)
            for each in level.expressions:
                self._ask_expression(each, inside, region)
        self._ask(expression, within, region)

    def _common(self, location: Location, within: tuple[Pattern, ...] | None) -> tuple[Pattern, ...]:
        try:
            own = [path.pattern for path in self._own_paths(location)]
        except Unsayable:
            return ()
        return tuple(own) if within is None else tuple(_common(own, within)[0])

    def _ask(self, location: Location, within: tuple[Pattern, ...] | None, region: int) -> None:
        self._steps.setdefault(location, []).append(_Step(self._next_rank(), within, region))

    def _next_rank(self) -> tuple[object, ...]:
        self._asked += 1
        return (*self._rank, 1, self._asked)

    def _own_paths(self, location: Location) -> list[Path]:
        if location not in self._own:
            self._own[location] = paths_at(location, ())
        return self._own[location]

    def paths_of(self, location: Location) -> list[Path]:
        """The paths of a location, each with its place in nginx's order. Raises Unsayable."""
        return self.asked(location, self._own_paths(location))

    def asked(self, location: Location, own: list[Path]) -> list[Path]:
        """Of these paths of a location, those that come to it. Raises Unsayable."""
        around = self._around.get(location)
        if around is not None:
            self._own_paths(around)  # which raises Unsayable
        found: dict[Pattern, Path] = {}
        unknown: Pattern | None = None
        for step in self._steps.get(location, ()):
            for path in own:
                patterns = [path.pattern]
                if step.within is not None:
                    patterns, other = _common(patterns, step.within)
                    unknown = unknown or other
                for pattern in patterns:
                    stray = path.stray and pattern == path.pattern
                    found.setdefault(pattern, replace(path, pattern=pattern, rank=step.rank, stray=stray))
        if unknown is not None:
            text = f"what it has in common with {unknown.text} cannot be translated: check which route takes that"
            if not found:
                raise Unsayable(text)
            location.directive.unsaid(text)
        if not found:
            raise NeverAsked(f"nginx never asks it: nothing of it fits {around.text if around else 'this'}, around it")
        return list(found.values())

    def without_slash(self, location: Location) -> list[Path]:
        """The path that is sent on to this location, which ends in a slash, for want of that slash."""
        return self._slashes.get(location, [])

    def asked_after(self, first: Location, then: Location) -> bool:
        """Whether a request that the first did not take can come to the other one."""
        steps = self._steps.get(then, ())
        return any(
            step.region == one.region and step.rank > one.rank for one in self._steps.get(first, ()) for step in steps
        )


def _common(own: Iterable[Pattern], within: Iterable[Pattern]) -> tuple[list[Pattern], Pattern | None]:
    """The intersections of patterns, and one pattern of which they are not known."""
    found: dict[Pattern, None] = {}
    unknown = None
    for pattern in own:
        for other in within:
            if (both := intersection(pattern, other, closely=True)) is not None:
                found[both] = None
            elif not are_apart(pattern, other):
                unknown = unknown or other
    return list(found), unknown


def paths_at(location: Location, rank: tuple[object, ...]) -> list[Path]:
    """The paths of a location by itself, with this place in the order. Raises Unsayable."""
    text = location.text
    if location.is_expression:
        if text.startswith(("/", "\\/")):
            if not is_refused(location.directive):  # that is a condition of other routes as well
                location.directive.differs("it is compared from the beginning of the path on, not anywhere in it")
            text = "^" + text
        found = patterns_of(text, anywhere=True, ignore_case=location.kind == "~*")
        return [Path(pattern, rank) for pattern in found.patterns]
    if location.kind == "=":
        return [Path(literal(text), rank)]
    paths = [Path(below(text), rank)]
    return paths if text.endswith("/") else [*paths, Path(beginning(text), rank, stray=True)]


def prefix_patterns(text: str) -> list[Pattern]:
    """The patterns of what begins with a text."""
    return [below(text)] if text.endswith("/") else [below(text), beginning(text)]


def with_uri(location: Location, path: Path, uri: str) -> list[Path]:
    """The path as `proxy_pass` with a URI sends it: what the location matched is replaced by it. Raises Unsayable.

    Where the URI ends in a slash and the location does not, the path of the location itself is one of its own.
    """
    if location.is_expression:
        return [replace(path, rewrite=of_groups(location.text, path.pattern, uri))]
    if location.kind == "=":
        return [replace(path, rewrite=uri)]
    whole = next(each for each in paths_at(location, path.rank) if covers(each.pattern, path.pattern))
    found = []
    for each in _with_uri(location, whole, uri):
        if (common := intersection(each.pattern, path.pattern)) is not None:
            if (sent := narrowed(each, common)) is None:
                raise Unsayable("what it is replaced in cannot be distinguished in the part of it that comes here")
            found.append(replace(sent, stray=path.stray))
    return found


def _with_uri(location: Location, path: Path, uri: str) -> list[Path]:
    rest = "$1/$2" if path.stray else "$1"
    own = []
    if location.text.endswith("/") or path.stray or not location.text.strip("/"):
        rewrite = uri + rest
    elif uri.endswith("/"):
        rewrite = uri + rest  # nginx would send two slashes here; one is what is meant
        own = [replace(path, pattern=literal(location.text), rewrite=uri)] if uri != "/" else []
    else:
        rewrite = uri + "/" + rest
    if rewrite == "/$1" and location.text.strip("/"):
        return [replace(path, strip=location.text.rstrip("/"))]
    return [*own, replace(path, rewrite=None if rewrite == "/$1" else _sendable(rewrite))]


def _sendable(rewrite: str) -> str:
    return re.sub("/+", "/", rewrite)


def of_groups(expression: str, pattern: Pattern, uri: str) -> str:
    """A URI with `$1` of an expression, in terms of the captures of one of its patterns."""
    if "$" not in uri:
        return uri
    if not patterns_of(expression, anywhere=True).grouped:
        raise Unsayable("its groups are not whole segments, or more than they")
    names = re.findall(r"\((?!\?)|\(\?P?<(\w+)>", expression)
    captures = list(pattern.captures())
    if len(names) != len(captures):
        raise Unsayable("its groups are not whole segments, or more than they")
    for name, capture in zip(names, captures, strict=True):
        if name:
            uri = re.sub(rf"\$\{{?{name}\b\}}?", capture, uri)
    uri = re.sub(r"\$(\d+)", lambda match: captures[int(match[1]) - 1] if int(match[1]) <= len(captures) else "\0", uri)
    if "\0" in uri or re.search(r"\$[A-Za-z]", uri):
        raise Unsayable("it refers to a capture that the path does not have")
    return _sendable(uri)
