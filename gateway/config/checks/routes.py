"""Routes that no request reaches, or that do not do what they seem to."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.config.models import Configuration
from gateway.config.problems import Fault
from gateway.config.route_rules import rules
from gateway.http.hosts import normalise_host
from gateway.http.paths import PathError, normalise
from gateway.routes.candidate import Candidate, is_one_way
from gateway.routes.conditions import lower_case
from gateway.routes.pattern import has_expression
from gateway.routes.rewrite import parse_prefix
from gateway.routes.rule import Rule
from gateway.routes.table import RouteTable

Kind = Literal["shadowed", "never_matches", "double_rewrite", "one_way"]

STAND_IN = "~"
"""A sample value of a wildcard, which no path has as literal text."""

_ANY_METHOD = "*"
_PROBES = ("/health", "/health/live", "/health/ready")
_is_host = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]").fullmatch


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """The warnings about the routes of a configuration."""
    routes = configuration.routes
    written = [rule for rule in rules(configuration) if not rule.below]
    places = {route.id: index for index, route in enumerate(routes.routes)}
    for warning in rule_warnings(written, routes.base_path, routes.accept_rewritten):
        place = places[warning.rule_id]
        yield Fault(("routes", place, "paths" if routes.routes[place].paths else "path"), warning.message)


@dataclass(frozen=True, slots=True)
class RouteWarning:
    """A warning about one rule, with its remedy."""

    rule_id: str
    kind: Kind
    message: str


def rule_warnings(rules: Sequence[Rule], base_path: str = "", accept_rewritten: bool = False) -> list[RouteWarning]:
    """Probable mistakes in rules that can be compiled, in their order. Raises what `RouteTable` raises."""
    base = parse_prefix("base_path", base_path)
    table = RouteTable([(rule, None) for rule in rules], accept_rewritten=True)
    declared = [candidate for candidate in table.candidates if candidate.form == "declared"]
    found = [*_shadowed(declared), *_double_rewrites(table, base, accept_rewritten)]
    for candidate in declared:
        found += [(candidate, "never_matches", message) for message in _never(candidate)]
        if accept_rewritten and is_one_way(candidate.rule, candidate.pattern.source):
            message = (
                f'a path that is rewritten already, as "{candidate.rule.rewrite}", is not accepted (accept_rewritten): '
                "rules about paths need the path before the rewrite, which cannot be determined; have the rewrite use "
                f'what each wildcard of "{candidate.pattern.source}" matches once'
            )
            found.append((candidate, "one_way", message))
    found.sort(key=lambda each: each[0].order)
    return [RouteWarning(candidate.rule.id, kind, message) for candidate, kind, message in found]


_Found = tuple[Candidate[None], Kind, str]


def _never(candidate: Candidate[None]) -> Iterator[str]:
    """The reason why no request can match a rule."""
    rule, source = candidate.rule, candidate.pattern.source
    if path := _impossible_path(candidate):
        yield f'path "{source}" never matches: {path}'
    if source in _PROBES:
        yield f"GET {source} is answered by the gateway itself, as a probe; use another path"
    if rule.methods is not None and not rule.methods:
        yield "the list of methods is empty, so that no request fits; leave it out to take all methods"
    for host in rule.hosts:
        if not _is_host(normalise_host(host)):
            yield f'no request has the host "{host}"; write a name, or "*." and a name'


def _impossible_path(candidate: Candidate[None]) -> str | None:
    sample = candidate.pattern.sample(STAND_IN)
    try:
        normal = normalise(sample.encode())
    except PathError as error:
        return str(error)
    if normal.path != sample:
        return "requests have their dot segments and repeated slashes resolved first; write the path without them"
    if normal.has_encoded_slash and not candidate.rule.allow_encoded_slashes:
        return "it has an encoded slash or backslash; allow them with allow_encoded_slashes: true"
    return None


def _shadowed(declared: Sequence[Candidate[None]]) -> Iterator[_Found]:
    """Find rules all of whose requests earlier rules take.

    A rule with fewer predicates goes later, so that only rules with the same headers and query can be in the way.
    """
    owners: dict[object, dict[str, str]] = {}
    for candidate in declared:
        taken = [owners.setdefault((host, *_wanted(candidate)), {}) for host in candidate.hosts or ("",)]
        methods = {_ANY_METHOD} if candidate.methods is None else candidate.methods
        before = [owner.get(method) for owner in taken for method in sorted(methods)]
        if before and None not in before:
            names = " and ".join(f'"{name}"' for name in dict.fromkeys(before))
            remedy = "remove one, or distinguish them by host, methods, headers or query"
            yield candidate, "shadowed", f"never reached: {names}, earlier, takes all of its requests; {remedy}"
        for owner in taken:
            for method in methods:
                owner.setdefault(method, candidate.rule.id)


def _wanted(candidate: Candidate[None]) -> tuple[object, ...]:
    """The predicates of a rule beside host and methods."""
    rule = candidate.rule
    return candidate.pattern.key, frozenset(map(lower_case, rule.headers)), frozenset(rule.query)


def _double_rewrites(table: RouteTable[None], base: str, accept_rewritten: bool) -> Iterator[_Found]:
    """Find rules whose rewritten form a declared path takes, to rewrite it to something else."""
    effect = "is not passed on unchanged" if accept_rewritten else "is rewritten once more"
    found: dict[object, Candidate[None] | None] = {}  # thousands of routes may share one rewritten form
    for candidate in table.candidates:
        if candidate.form != "rewritten":
            continue
        asked = (candidate.pattern.source, candidate.hosts, candidate.methods)
        if asked not in found:
            found[asked] = _rewriter(table, base, candidate)
        if other := found[asked]:
            yield (
                candidate,
                "double_rewrite",
                f'its rewritten form "{candidate.pattern.source}" is also the path "{other.pattern.source}" of route '
                f'"{other.rule.id}": what a client sends in that form {effect}; use another path',
            )


def _rewriter(table: RouteTable[None], base: str, rewritten: Candidate[None]) -> Candidate[None] | None:
    """Find whose declared path, alone or under the base path, takes a path of the rewritten form and changes it."""
    if any(map(has_expression, rewritten.pattern.segments)):  # what it takes is not known
        return None
    path = rewritten.pattern.sample(STAND_IN)
    host = next(iter(rewritten.hosts), "").replace("*", STAND_IN)
    for prefix in ("", base) if base and path.startswith(base + "/") else ("",):
        specificity = rewritten.pattern.specificity[prefix.count("/") :]
        for candidate, segments in _rivals(table, rewritten, host, path[len(prefix) :]):
            if candidate.pattern.specificity > specificity:
                break
            match = candidate.build(path[len(prefix) :], segments)
            if match is not None and match.path != path:
                return candidate
            if not candidate.conditions:
                break
    return None


def _rivals(
    table: RouteTable[None], rewritten: Candidate[None], host: str, path: str
) -> Iterator[tuple[Candidate[None], Sequence[str]]]:
    for candidates, segments in table.find(host, path):
        for candidate in candidates:
            if candidate.form == "declared" and (
                candidate.methods is None
                or rewritten.methods is None
                or not candidate.methods.isdisjoint(rewritten.methods)
            ):
                yield candidate, segments
