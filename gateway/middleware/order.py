"""In which order an exchange passes the policies: the usual one, or that of `order` in middleware.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from gateway.config.models import MiddlewareFile
from gateway.config.problems import Fault, Problem
from gateway.config.translate import suggest, to_problem
from gateway.context import Builder, Context
from gateway.middleware import python_policy, rate_limit

Stack = Sequence[tuple[str, Builder]]

_FILE = "middleware.yaml"
_POLICIES = "policies"
_LIMITS = "rate_limits"

_BEFORE = (
    ("blocklist", "authentication", "a blocked client can try credentials"),
    ("ip_allow", "authentication", "clients from anywhere can try credentials"),
    ("cors", "authentication", "preflights, which carry no credentials, are refused"),
    ("response_headers", "authentication", "refusals go without the headers of the rules"),
    ("authentication", "blocked_consumers", "nobody is known yet when it is asked who is blocked"),
    ("authentication", "authorization", "nobody is known yet when it is asked who may do what"),
    ("authentication", "rate_limits", "limits by consumer or tenant count addresses instead"),
    ("authentication", "quotas", "quotas by consumer or tenant know nobody"),
    ("authentication", "request_headers", "{consumer} and {tenant} are empty"),
    ("authorization", "quotas", "refused requests use up the quota"),
    ("body_limit", "policies", "a policy that reads the body reads any amount"),
)
"""What ought to be further out than what, or else."""


def arrange(stack: Stack, context: Context) -> tuple[Stack, list[Problem]]:
    """Every builder, outermost first, those that can stand alone in their places; and what is wrong with the order."""
    builders, problems = python_policy.builders(context)
    middleware = context.configuration.middleware
    names = [name for name, _ in stack]
    faults = _faults(middleware.order, [*names, *_single_names(middleware)])
    problems += [to_problem(context.configuration.documents[_FILE], fault) for fault in faults]
    if problems:
        return stack, problems
    alone = {f"{_POLICIES}.{name}": builder for name, builder in builders.items()}
    limits = [name for name in middleware.rate_limits if f"{_LIMITS}.{name}" in middleware.order]
    alone |= {f"{_LIMITS}.{name}": partial(rate_limit.for_route, names={name}) for name in limits}
    rest = middleware.rate_limits.keys() - limits
    known = dict(stack) | {_LIMITS: partial(rate_limit.for_route, names=rest)}
    return list(_arranged(completed(middleware.order, names), known, alone)), []


def completed(order: Sequence[str], usual: Sequence[str]) -> Sequence[str]:
    """An order with the names that it leaves out, each behind its usual predecessor where that opens no hole."""
    whole = list(order)
    for index, name in enumerate(usual):
        if name not in order:
            place = whole.index(usual[index - 1]) + 1 if index else 0
            outer = [whole.index(first) + 1 for first, second, _ in _BEFORE if second == name and first in whole]
            inner = [whole.index(second) for first, second, _ in _BEFORE if first == name and second in whole]
            whole.insert(max([min([place, *inner]), *outer]), name)
    return whole


def _arranged(
    order: Sequence[str], stack: Mapping[str, Builder], alone: Mapping[str, Builder]
) -> Iterator[tuple[str, Builder]]:
    for name in order:
        if name == _POLICIES:
            yield from ((n, alone[n]) for n in alone if n.startswith(f"{_POLICIES}.") and n not in order)
        else:
            yield name, alone[name] if name in alone else stack[name]


def _single_names(middleware: MiddlewareFile) -> Iterator[str]:
    """What can stand apart from its like."""
    yield from (f"{_POLICIES}.{name}" for name in middleware.policies)
    yield from (f"{_LIMITS}.{name}" for name in middleware.rate_limits)


def _faults(order: Sequence[str], known: list[str]) -> Iterator[Fault]:
    for index, name in enumerate(order):
        if name not in known:
            likely = suggest(name, known)
            remedy = f'; did you mean "{likely}"?' if likely else f"; there are {', '.join(known)}"
            yield Fault(("order", index), f"nothing has this name{remedy}")
        elif name in order[:index]:
            yield Fault(("order", index), "this is there twice; remove one of them")


def left_out(middleware: MiddlewareFile, usual: Sequence[str]) -> str | None:
    """What a warning says of names that an order leaves out; None where there is nothing to say."""
    order = middleware.order
    single = {*order} & {*_single_names(middleware)}
    of_all: Mapping[str, Iterable[str]] = {_POLICIES: middleware.policies, _LIMITS: middleware.rate_limits}
    missing = [
        name
        for name in usual
        if name not in order and any(f"{name}.{each}" not in single for each in of_all.get(name, ("",)))
    ]
    if not order or not missing:
        return None
    behind = {name: usual[index - 1] if index else "nothing" for index, name in enumerate(usual)}
    places = ", ".join(f"{name} (behind {behind[name]})" for name in missing)
    return f"what it does not name takes its usual place: {places}; name it to say so, or to have it elsewhere"


def misorders(middleware: MiddlewareFile) -> Iterator[tuple[int, str]]:
    """Where in the order something stands too far out, and what comes of it."""
    places = {name: index for index, name in enumerate(middleware.order)}
    for first, second, consequence in _BEFORE:
        if first not in places:
            continue
        for name in (second, *_alone(second, middleware)):
            if name in places and places[name] < places[first]:
                yield places[name], f"{name} is in front of {first}, so that {consequence}"


def _alone(name: str, middleware: MiddlewareFile) -> Iterator[str]:
    """Rate limits that stand by themselves and ask who calls: only to them it matters where that is known."""
    if name == _LIMITS:
        for limit, config in middleware.rate_limits.items():
            parts = {part.partition(":")[0] for part in config.key}
            if config.tiers or not parts.isdisjoint(("consumer", "tenant", "claim")):
                yield f"{_LIMITS}.{limit}"
