"""In which order an exchange passes the policies: the usual one, or that of `order` in middleware.yaml."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.config.models import Configuration, MiddlewareFile
from gateway.config.problems import Fault, Problem, suggest
from gateway.config.yaml.places import to_problem
from gateway.context import Builder, Context
from gateway.middleware.declaration import Declaration, Rules
from gateway.middleware.table import POLICIES

_FILE = "middleware.yaml"
_BY_NAME = {policy.name: policy for policy in POLICIES}
_USUAL = tuple(_BY_NAME)


@dataclass(frozen=True, slots=True)
class Placed:
    """A policy, or some rules of one, at its place in the chain."""

    policy: Declaration
    name: str  # as `order` has it
    build: Builder


def arrange(context: Context) -> tuple[Sequence[Placed], list[Problem]]:
    """All policies, outermost first, and what is wrong with the order or with single rules."""
    middleware = context.configuration.middleware
    rules: dict[str, Mapping[str, Builder]] = {}
    problems: list[Problem] = []
    for policy in POLICIES:
        if isinstance(policy.build, Rules):
            alone = [name for name in _rules(policy.name, middleware) if f"{policy.name}.{name}" in middleware.order]
            rules[policy.name], wrong = policy.build.builders(context, alone)
            problems += wrong
    faults = _faults(middleware.order, [*_USUAL, *_single_names(middleware)])
    problems += [to_problem(context.configuration.documents[_FILE], fault) for fault in faults]
    order = _USUAL if problems else completed(middleware.order)
    return list(_placed(order, rules)), problems


def _placed(order: Sequence[str], rules: Mapping[str, Mapping[str, Builder]]) -> Iterator[Placed]:
    for place in order:
        name, _, rule = place.partition(".")
        policy = _BY_NAME[name]
        if not isinstance(policy.build, Rules):
            yield Placed(policy, name, policy.build)
        elif rule:
            yield Placed(policy, place, rules[name][rule])
        else:
            rest = (each for each in rules[name] if f"{name}.{each}" not in order)
            yield from (Placed(policy, name, rules[name][each]) for each in rest)


def completed(order: Sequence[str]) -> Sequence[str]:
    """An order with the names that it leaves out, each behind its usual predecessor where that opens no hole."""
    whole = list(order)
    for index, name in enumerate(_USUAL):
        if name not in order:
            place = whole.index(_USUAL[index - 1]) + 1 if index else 0
            outer = [whole.index(first) + 1 for first, second, _ in _sequences() if second == name and first in whole]
            inner = [whole.index(second) for first, second, _ in _sequences() if first == name and second in whole]
            whole.insert(max([min([place, *inner]), *outer]), name)
    return whole


def _sequences() -> Iterator[tuple[str, str, str]]:
    """The required order of two policies, and the effect of the wrong one."""
    for policy in POLICIES:
        yield from ((policy.name, inner, consequence) for inner, consequence in policy.before.items())
        yield from ((outer, policy.name, consequence) for outer, consequence in policy.behind.items())


def _rules(name: str, middleware: MiddlewareFile) -> Mapping[str, object]:
    """The configuration of each rule of a policy that has such as can stand apart; else of none."""
    rules: Mapping[str, object] = getattr(middleware, name) if isinstance(_BY_NAME[name].build, Rules) else {}
    return rules


def _single_names(middleware: MiddlewareFile) -> Iterator[str]:
    """The names of what can stand apart from its like."""
    for policy in POLICIES:
        yield from (f"{policy.name}.{rule}" for rule in _rules(policy.name, middleware))


def _faults(order: Sequence[str], known: list[str]) -> Iterator[Fault]:
    for index, name in enumerate(order):
        if name not in known:
            likely = suggest(name, known)
            remedy = f'; did you mean "{likely}"?' if likely else f"; there are {', '.join(known)}"
            yield Fault(("order", index), f"nothing has this name{remedy}")
        elif name in order[:index]:
            yield Fault(("order", index), "this is duplicated; remove one of them")


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """An order that leaves names out, or has something too far out."""
    order = configuration.middleware.order
    if not order:
        return
    yield from misorders(configuration.middleware)
    missing = [policy.name for policy in POLICIES if not _is_placed(policy, configuration.middleware)]
    if missing:
        whole = completed(order)
        behind = {name: whole[index - 1] if index else "nothing" for index, name in enumerate(whole)}
        places = ", ".join(f"{name} (behind {behind[name]})" for name in missing)
        remedy = "name it to say so, or to have it elsewhere"
        yield Fault(("order",), f"policies that it does not name take their default places: {places}; {remedy}")


def _is_placed(policy: Declaration, middleware: MiddlewareFile) -> bool:
    """Whether the order names the policy, or each rule that it is made of."""
    order: Collection[str] = middleware.order
    if policy.name in order or not isinstance(policy.build, Rules):
        return policy.name in order
    return all(f"{policy.name}.{rule}" in order for rule in _rules(policy.name, middleware))


def misorders(middleware: MiddlewareFile) -> Iterator[Fault]:
    """Where in the order, with what it leaves out, something stands too far out, and what comes of it."""
    order = middleware.order
    places = {name: index for index, name in enumerate(completed(order))}
    for first, second, consequence in _sequences():
        for name in (second, *_misplaced(second, middleware)):
            if name in places and places[name] < places[first] and (first in order or name in order):
                place = ("order", order.index(name)) if name in order else ("order",)
                yield Fault(place, f"{name} is in front of {first}, so that {consequence}")


def _misplaced(name: str, middleware: MiddlewareFile) -> Iterator[str]:
    """The rules of a policy to which its place matters where they stand by themselves."""
    build = _BY_NAME[name].build
    if isinstance(build, Rules):
        yield from (f"{name}.{rule}" for rule, config in _rules(name, middleware).items() if build.misplaced(config))
