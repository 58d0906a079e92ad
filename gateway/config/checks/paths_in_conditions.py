"""Conditions that compare `path` with what the path of no route can be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from gateway.algorithms.conditions import compile_condition
from gateway.algorithms.conditions.condition import PathTest
from gateway.config.models import Configuration, RouteConfig
from gateway.config.problems import Fault, Path
from gateway.config.route_rules import rules
from gateway.http.paths import PathError, normalise, normalise_literal
from gateway.routes.pattern import Pattern, fits, parse, segment_fits, split
from gateway.routes.rewrite import parse_prefix
from gateway.routes.rule import Rule

_HOW = {"equals": "is", "startswith": "starts with", "endswith": "ends with", "matches": "matches"}
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_NEVER_INSIDE = ("//", "/./", "/../", "?", "#")


def unmet(configuration: Configuration) -> Iterator[Fault]:
    """Comparisons in conditions of `authorize` and `split` that no request meets."""
    literals: PathLiterals | None = None
    for index, route in enumerate(configuration.routes.routes):
        for place, text in _conditions(route):
            if tests := compile_condition(text).path_tests:
                literals = literals or PathLiterals(rules(configuration), configuration.routes.base_path)
                for message in literals.unmet(tests, index):
                    yield Fault(("routes", index, *place), message)


def _conditions(route: RouteConfig) -> Iterator[tuple[Path, str]]:
    for number, entry in enumerate(route.authorize):
        if entry.when is not None:
            yield ("authorize", number, "when"), entry.when
    for number, each in enumerate(route.split):
        if each.when is not None and each.when.condition is not None:
            yield ("split", number, "when", "condition"), each.when.condition


class PathLiterals:
    """Knows the paths of all `rules`. Raises what `RouteTable` raises."""

    def __init__(self, rules: Sequence[Rule], base_path: str) -> None:
        self._own = [[parse(path) for path in rule.paths] for rule in rules]
        self._patterns = list(chain.from_iterable(self._own))
        self._base = parse_prefix("base_path", base_path)

    def unmet(self, tests: Iterable[PathTest], own: int) -> Iterator[str]:
        """Warn for each of `tests`, of rule number `own`, that matches no path of any rule, with the remedy."""
        for test in tests:
            written = test.text if test.how == "matches" else normalise_literal(test.text)
            behind = None if test.how == "endswith" else _behind(self._base, written)
            if not self._is_met(test, own, self._base if behind else ""):
                remedy = "it is compared with the path of the route, before it is rewritten; correct it"
                if test.how == "matches":
                    remedy = "escapes of what may stand in a path as it is are decoded, and others in upper case"
                if behind is not None:
                    remedy = f'path is without base_path; write "{behind}"'
                yield f'no route has a path that {_HOW[test.how]} "{test.text}": {remedy}'

    def _is_met(self, test: PathTest, own: int, base: str) -> bool:
        """Whether a path of any rule meets it; of those that are declared below `base`, where it is given."""
        first = split(base) if base else ()
        return any(
            pattern.segments[: len(first)] == first and _meets(pattern, test)
            for pattern in chain(self._own[own], self._patterns)  # nearly always it is the rule's own
        )


def _behind(base: str, text: str) -> str | None:
    """The part behind the base path; None if it does not begin with it."""
    if not base or not (text == base or text.startswith(base + "/")):
        return None
    return text[len(base) :] or "/"


def _meets(pattern: Pattern, test: PathTest) -> bool:
    """Whether some path fits both. Where that would take more than a look at the pattern, the answer is yes."""
    if test.how == "matches":
        return all(normalise_literal(escape) == escape for escape in _ESCAPE.findall(test.text))
    text = normalise_literal(test.text)
    if any(part in text for part in _NEVER_INSIDE):
        return False
    if test.how == "equals":
        try:
            if normalise(text.encode()).path != text:
                return False
        except PathError:
            return False
        return fits(pattern, text.split("/")[1:])
    return _starts(pattern, text) if test.how == "startswith" else _ends(pattern, text)


def _starts(pattern: Pattern, text: str) -> bool:
    *whole, last = text.split("/")[1:] or [""]
    if len(whole) >= len(pattern.segments):
        return pattern.rest and all(map(segment_fits, pattern.segments, whole))
    wanted = pattern.segments[len(whole)]
    first = wanted if isinstance(wanted, str) else wanted[0]
    head = first if isinstance(first, str) else ""
    begun = head.startswith(last) or (not isinstance(wanted, str) and last.startswith(head))
    return begun and all(map(segment_fits, pattern.segments, whole))


def _ends(pattern: Pattern, text: str) -> bool:
    if pattern.literal is not None:
        return pattern.literal.endswith(text)
    last = pattern.segments[-1] if pattern.segments else None
    if pattern.rest or last is None:
        return True
    end = last if isinstance(last, str) else last[-1]
    tail = end if isinstance(end, str) else ""
    return tail.endswith(text) or text.endswith(tail)
