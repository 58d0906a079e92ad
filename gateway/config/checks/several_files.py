"""Routes of two files that want the same requests: the names of the files would decide between them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from gateway.config.models import Configuration
from gateway.config.problems import Fault
from gateway.config.route_rules import rules
from gateway.http.hosts import normalise_host
from gateway.routes.conditions import lower_case
from gateway.routes.pattern import parse
from gateway.routes.rule import Rule, answered_methods
from gateway.routes.wildcards import PatternError


def same_routes(configuration: Configuration) -> Iterator[Fault]:
    """Routes with the host, path, methods and predicates of one in another file, which is named."""
    if not configuration.route_files:
        return
    document = configuration.documents["routes.yaml"]
    alike: dict[object, list[tuple[int, Rule]]] = {}
    for index, rule in enumerate(rules(configuration)):
        wanted = list(_wanted(rule))
        for number, other in chain.from_iterable(alike.get(each, ()) for each in wanted):
            first, own = document.find(("routes", number)), document.find(("routes", index))
            if first.file != own.file and _share_methods(rule, other):
                what = f'route "{other.id}" has the same host, path, methods and predicates'
                message = f"{what}, in {first.file} on line {first.line}; remove one, or distinguish them"
                yield Fault(("routes", index), message, show_value=False)
                break
        for each in wanted:
            alike.setdefault(each, []).append((index, rule))


def _wanted(rule: Rule) -> Iterator[object]:
    """What the rule asks for beside methods, host by host and path by path; nothing of paths that mean nothing, which
    is reported when they are compiled."""
    predicates = frozenset(map(lower_case, rule.headers)), frozenset(rule.query)
    for path in rule.paths:
        try:
            key = parse(path).key
        except PatternError:
            continue
        for host in rule.hosts or ("",):
            yield normalise_host(host), key, predicates


def _share_methods(one: Rule, other: Rule) -> bool:
    """Whether neither goes before the other by its methods, and some request is for both."""
    mine, others = answered_methods(one), answered_methods(other)
    if mine is None or others is None:
        return mine is others
    return not mine.isdisjoint(others)
