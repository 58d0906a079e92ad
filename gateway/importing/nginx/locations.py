"""Locations of nginx: which paths they take, and before which others."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from gateway.importing.description import Path
from gateway.importing.nginx.directives import Directive
from gateway.importing.patterns import Pattern, beginning, below, literal
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


def paths_of(location: Location, rank: tuple[object, ...], number: int) -> list[Path]:
    """The paths of a location, each with its place in nginx's order. Raises Unsayable."""
    text = location.text
    if location.is_expression:
        if text.startswith(("/", "\\/")):
            location.directive.differs("it is compared from the beginning of the path on, not anywhere in it")
            text = "^" + text
        found = patterns_of(text, anywhere=True, ignore_case=location.kind == "~*")
        return [Path(pattern, (*rank, 2, number)) for pattern in found.patterns]
    if location.kind == "=":
        return [Path(literal(text), (*rank, 0, 0))]
    own = (*rank, 1 if location.kind == "^~" else 3, -len(text))
    paths = [Path(below(text), own)]
    return paths if text.endswith("/") else [*paths, Path(beginning(text), own, stray=True)]


def longer_prefixes(location: Location, all_of_server: list[Location]) -> list[Pattern]:
    """For `^~`: prefixes that are longer, and of which nginx asks the expressions after all."""
    if location.kind != "^~":
        return []
    longer = [
        other
        for other in all_of_server
        if other.kind == "" and other.text.startswith(location.text) and other.text != location.text
    ]
    return [pattern for other in longer for pattern in prefix_patterns(other.text)]


def prefix_patterns(text: str) -> list[Pattern]:
    """The patterns of what begins with a text."""
    return [below(text)] if text.endswith("/") else [below(text), beginning(text)]


def with_uri(location: Location, path: Path, uri: str) -> Path:
    """The path as `proxy_pass` with a URI sends it: what the location matched is replaced by it. Raises Unsayable."""
    if location.is_expression:
        return replace(path, rewrite=of_groups(location.text, path.pattern, uri))
    if location.kind == "=":
        return replace(path, rewrite=uri)
    rest = "$1/$2" if path.stray else "$1"
    if location.text.endswith("/") or path.stray or not location.text.strip("/"):
        rewrite = uri + rest
    elif uri.endswith("/"):
        rewrite = uri + rest  # nginx would send two slashes here; one is what is meant
    else:
        rewrite = uri + "/" + rest
    if rewrite == "/$1" and location.text.strip("/"):
        return replace(path, strip=location.text.rstrip("/"))
    return replace(path, rewrite=None if rewrite == "/$1" else _sendable(rewrite))


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
        raise Unsayable("it refers to what the path does not have")
    return _sendable(uri)
