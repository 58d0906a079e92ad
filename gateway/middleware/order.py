"""In which order an exchange passes the policies: the usual one, or that of `order` in middleware.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gateway.config.problems import Fault, Problem
from gateway.config.translate import suggest, to_problem
from gateway.context import Builder, Context
from gateway.middleware import python_policy

Stack = Sequence[tuple[str, Builder]]

_FILE = "middleware.yaml"
_POLICIES = "policies"

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
    """Every builder, outermost first, the policies in Python in their places; and what is wrong with those."""
    policies, problems = python_policy.builders(context)
    order = context.configuration.middleware.order
    names = [name for name, _ in stack]
    faults = list(_faults(order, names, [*context.configuration.middleware.policies])) if order else []
    problems += [to_problem(context.configuration.documents[_FILE], fault) for fault in faults]
    if problems:
        return stack, problems
    return list(_arranged(order or names, dict(stack), policies)), []


def _arranged(
    order: Sequence[str], stack: Mapping[str, Builder], policies: Mapping[str, Builder]
) -> Iterator[tuple[str, Builder]]:
    for name in order:
        if name in stack and name != _POLICIES:
            yield name, stack[name]
            continue
        some = (
            [name.partition(".")[2]] if name != _POLICIES else [p for p in policies if f"{_POLICIES}.{p}" not in order]
        )
        for policy in some:
            yield f"{_POLICIES}.{policy}", policies[policy]


def _faults(order: Sequence[str], names: Sequence[str], policies: Sequence[str]) -> Iterator[Fault]:
    known = [*names, *(f"{_POLICIES}.{policy}" for policy in policies)]
    for index, name in enumerate(order):
        if name not in known:
            likely = suggest(name, known)
            remedy = f'; did you mean "{likely}"?' if likely else f"; there are {', '.join(known)}"
            yield Fault(("order", index), f"nothing has this name{remedy}")
        elif name in order[:index]:
            yield Fault(("order", index), "this is there twice; remove one of them")
    missing = [name for name in names if name not in order]
    if missing:
        yield Fault(
            ("order",), f"missing are {', '.join(missing)}; the order names all of them: add them in their places"
        )


def misorders(order: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Where in `order` something stands too far out, and what comes of it."""
    places = {name: index for index, name in enumerate(order)}
    for first, second, consequence in _BEFORE:
        if first in places and second in places and places[second] < places[first]:
            yield places[second], f"{second} is in front of {first}, so that {consequence}"
