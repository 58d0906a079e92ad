"""The meaning of a router's matchers for a route of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from gateway.http.methods import REGISTERED
from gateway.importing.description import Condition, Description, Path, Route
from gateway.importing.headers import is_secret
from gateway.importing.patterns import Pattern, beginning, below, literal
from gateway.importing.regexes import Unsayable, anywhere, head_of, patterns_of, sample_of
from gateway.importing.traefik.rules import Alternative, Matcher
from gateway.importing.tree import Item
from gateway.importing.values import network

_ANY_SUBDOMAIN = re.compile(
    r"\^?(?:\(?(?:\.[+*]|\[[^\]]+\][+*]|\[\^\.\]\+)\)?|\{\w*:?[^}]*\})\\?\.((?:[\w-]+\\?\.)+[\w-]+)\$?"
)

_ANY_HOST = re.compile(r"\^?\.[+*]\$?|\{\w*:\.[+*]\}")


class Unmatched(Exception):
    """An alternative of the rule has no route; the text says why.

    `instead`: the matcher that cannot be translated, and one that matches a superset.
    """

    instead: tuple[Matcher, Matcher] | None = None
    without: Matcher | None = None
    """A matcher that cannot be translated; the others match a superset."""


def matched(route: Route, alternative: Alternative, rank: tuple[object, ...], item: Item) -> Route:
    """A copy of the route, for the requests that fit all of these matchers. Raises Unmatched."""
    found = replace(route, paths=[], headers=dict(route.headers), query=dict(route.query), authorize=[*route.authorize])
    paths: list[Path] | None = None
    excluded: list[Pattern] = []
    for matcher in alternative:
        if not matcher.arguments:
            raise Unmatched(f"{matcher} says nothing of what it compares with")
        if matcher.name in ("Path", "PathPrefix", "PathRegexp"):
            try:
                these = [path for argument in matcher.arguments for path in _path(matcher.name, argument, rank)]
            except Unmatched as why:
                argument = matcher.arguments[0]
                expression = argument if matcher.name == "PathRegexp" else "^" + _of_braces(argument)
                if len(matcher.arguments) == 1 and (head := head_of(expression, anywhere=True)):
                    why.instead = (matcher, replace(matcher, name="PathPrefix", arguments=(head,)))
                elif not matcher.negated:
                    why.without = matcher
                raise
            if matcher.negated:
                excluded += [path.pattern for path in these]
            elif paths is None:
                paths = these
            else:
                raise Unmatched("two paths at once; write the one that both mean")
        else:
            try:
                _apply(found, matcher, item)
            except Unmatched as why:
                why.without = None if matcher.name.startswith("Host") else matcher
                raise
    found.paths = [Path(Pattern((), True), rank)] if paths is None else paths
    found.excluded = excluded
    return found


def _apply(route: Route, matcher: Matcher, item: Item) -> None:
    name, arguments = matcher.name, matcher.arguments
    if name in ("Host", "HostHeader", "HostRegexp"):
        if matcher.negated:
            raise Unmatched("a host is named, not excluded; write the hosts that are meant")
        if name == "HostRegexp" and any(map(_ANY_HOST.fullmatch, arguments)):
            return
        hosts = tuple(_hosts(matcher, item))
        route.hosts = tuple(host for host in hosts if host in route.hosts) if route.hosts else hosts
        if not route.hosts:
            raise Unmatched(f"{matcher} leaves no host that could be named")
    elif name in ("Method", "Methods"):
        methods = {argument.upper() for argument in arguments}
        route.methods = tuple(sorted(REGISTERED - methods if matcher.negated else methods))
    elif name in ("Header", "Headers", "HeaderRegexp", "HeadersRegexp"):
        route.headers[arguments[0].lower()] = _condition(arguments[1:], "Regexp" in name, matcher, item)
    elif name in ("Query", "QueryRegexp"):
        pairs = [tuple(a.split("=", 1)) for a in arguments] if "=" in arguments[0] else [arguments]
        for key, *value in pairs:
            route.query[key] = _condition(tuple(value), "Regexp" in name, matcher, item)
    elif name == "ClientIP":
        networks = ", ".join(f'"{network(text)}"' for text in arguments)
        condition = f"client in [{networks}]"
        route.authorize.append({"when": f"not ({condition})" if matcher.negated else condition})
        item.differs(f"{matcher}: other clients get a 403, and no other route", "rule")
    else:
        raise Unmatched(f"there is no predicate like {matcher}")


def _condition(values: tuple[str, ...], regex: bool, matcher: Matcher, item: Item) -> Condition:
    if matcher.negated and values and values[0]:
        raise Unmatched(f"{matcher}: a value is named, not excluded")
    if not values or values == ("",):
        return Condition({"present": not matcher.negated}, "x")
    if not regex and is_secret(matcher.arguments[0]):
        secret = Description(item.report).secret(f"MATCHED_{matcher.arguments[0].partition('=')[0]}", item.place)
        return Condition(secret, secret)
    if not regex:
        return Condition(values[0], values[0])
    return Condition({"regex": anywhere(values[0])}, sample_of(values[0]))


def _hosts(matcher: Matcher, item: Item) -> Iterator[str]:
    for argument in matcher.arguments:
        if matcher.name != "HostRegexp":
            yield argument.lower()
        elif match := _ANY_SUBDOMAIN.fullmatch(argument):
            yield "*." + match[1].replace("\\", "")
            item.differs(f"`{argument}` is every name below *.{match[1].replace(chr(92), '')}", "rule")
        elif re.fullmatch(r"\^?[\w.\\-]+\$?", argument) and "\\w" not in argument:
            yield argument.strip("^$").replace("\\", "")
        else:
            raise Unmatched(f"`{argument}`: a host is exact, or has `*.` at its front")


def _path(name: str, argument: str, rank: tuple[object, ...]) -> Iterator[Path]:
    if name == "PathRegexp" or re.search(r"\{\w*:?[^}]*\}", argument):
        expression = argument if name == "PathRegexp" else "^" + _of_braces(argument) + ("$" if name == "Path" else "")
        try:
            found = patterns_of(expression, anywhere=True)
        except Unsayable as why:
            raise Unmatched(f"`{argument}` has no path of ours: {why}") from None
        yield from (Path(pattern, rank) for pattern in found.patterns)
    elif name == "Path":
        yield Path(literal(argument), rank)
    else:
        yield Path(below(argument), rank)
        if not argument.endswith("/"):
            yield Path(beginning(argument), rank, stray=True)


def _of_braces(path: str) -> str:
    """`/users/{id:[0-9]+}` of Traefik 2, as a regular expression."""
    parts = re.split(r"(\{\w*(?::(?:[^{}]|\{[^{}]*\})*)?\})", path)
    found = ""
    for part in parts:
        name, _, expression = part[1:-1].partition(":")
        if not part.startswith("{"):
            found += re.escape(part)
        else:
            found += f"(?<{name}>{expression or '[^/]+'})" if name else f"({expression or '[^/]+'})"
    return found
