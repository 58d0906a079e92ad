"""A condition becomes a function: first every operand is checked for its kind, then comparisons are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from operator import ge, gt, le, lt
from typing import Any

from gateway.algorithms.conditions.condition import Condition, ConditionError, Test
from gateway.algorithms.conditions.facts import Facts, Getter
from gateway.algorithms.conditions.names import (
    ADDRESS,
    CLAIM,
    DATE,
    HOST,
    LIST,
    MAPPING,
    NUMBER,
    OPAQUE,
    TEXT,
    TEXTS,
    TRUTH,
    Kind,
    named,
)
from gateway.algorithms.conditions.paths import as_compared, path_tests
from gateway.algorithms.conditions.syntax import (
    Call,
    Comparison,
    Joined,
    Listed,
    Literal,
    Node,
    Not,
    Path,
    parse,
)
from gateway.algorithms.linear_regex import LinearRegex
from gateway.algorithms.networks import Network, NetworkMap
from gateway.algorithms.regex_syntax import RegexError

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_SCALARS = frozenset({"text", "number", "truth"})


def compiled(text: str) -> Condition:
    """Read, check and compile a condition. Raises ConditionError."""
    tree = parse(text)
    paths = list(_paths(tree))
    headers = frozenset(path.steps[0].lower() for path in paths if path.name == "headers" and path.steps)
    parameters = frozenset(path.steps[0] for path in paths if path.name == "query" and path.steps)
    names, test = frozenset(path.name for path in paths), _test(as_compared(tree))
    return Condition(text, names, headers, parameters, test, tuple(path_tests(tree)))


def _paths(node: Node) -> Iterator[Path]:
    if isinstance(node, Path):
        yield node
    elif isinstance(node, Call):
        yield node.subject
    elif isinstance(node, Not):
        yield from _paths(node.item)
    elif isinstance(node, Comparison):
        yield from _paths(node.left)
        yield from _paths(node.right)
    elif isinstance(node, Joined):
        for item in node.items:
            yield from _paths(item)


# What is true or false.


def _test(node: Node) -> Test:
    if isinstance(node, Joined):
        return _joined(node.word, [_test(item) for item in node.items])
    if isinstance(node, Not):
        item = _test(node.item)
        return lambda facts: not item(facts)
    if isinstance(node, Comparison):
        return _comparison(node)
    if isinstance(node, Call):
        return _call(node)
    operand = _operand(node)
    if operand.kind not in (TRUTH, CLAIM):
        raise ConditionError(f"this is {operand.kind.name}, not a condition; {_as_condition(operand)}", node.at)
    get = operand.get
    return lambda facts: get(facts) is True


def _joined(word: str, tests: Sequence[Test]) -> Test:
    if len(tests) == 2:
        one, other = tests
        if word == "and":
            return lambda facts: one(facts) and other(facts)
        return lambda facts: one(facts) or other(facts)
    if word == "and":
        return lambda facts: all(test(facts) for test in tests)
    return lambda facts: any(test(facts) for test in tests)


def _as_condition(operand: _Operand) -> str:
    if operand.kind is LIST:
        return f'write "..." in {operand.source}'
    if operand.kind is MAPPING:
        return f'write {operand.source}["..."] == "..." or "..." in {operand.source}'
    return "compare it with something"


def _call(node: Call) -> Test:
    operand = _operand(node.subject)
    if operand.kind not in (*TEXTS, CLAIM):
        raise ConditionError(f"{node.subject} is {operand.kind.name}, which has no {node.function}", node.subject.at)
    argument = str(node.argument.value)
    make = _FUNCTIONS.get(node.function)
    if make is None:
        raise ConditionError(f'unknown function "{node.function}"; known are {", ".join(_FUNCTIONS)}', node.at)
    affix = node.function == "startswith" or (node.function == "endswith" and operand.kind is HOST)
    if affix and (remedy := operand.kind.remedy(argument)):
        raise ConditionError(remedy, node.argument.at)
    fits, get = make(node.argument), operand.get

    def holds(facts: Facts) -> bool:
        value = get(facts)
        return isinstance(value, str) and fits(value)

    return holds


def _regex(argument: Literal) -> Callable[[str], bool]:
    try:
        return LinearRegex(str(argument.value)).matches
    except RegexError as error:
        raise ConditionError(f"in this pattern: {error}", argument.at + 1 + error.offset) from None


def _startswith(argument: Literal) -> Callable[[str], bool]:
    beginning = str(argument.value)
    return lambda value: value.startswith(beginning)


def _endswith(argument: Literal) -> Callable[[str], bool]:
    end = str(argument.value)
    return lambda value: value.endswith(end)


_FUNCTIONS: Mapping[str, Callable[[Literal], Callable[[str], bool]]] = {
    "startswith": _startswith,
    "endswith": _endswith,
    "matches": _regex,
}


# Operands and comparisons.


@dataclass(frozen=True, slots=True)
class _Operand:
    """One side of a comparison. `literal`: it is written down, and its value is `value`."""

    kind: Kind
    get: Getter
    at: int
    source: str
    literal: bool = False
    value: Any = None


def _operand(node: Node) -> _Operand:
    if isinstance(node, Literal):
        return _literal(node)
    if isinstance(node, Path):
        found = named(node)
        return _Operand(found.kind, found.get, node.at, str(node))
    if isinstance(node, Listed):
        raise ConditionError('a list stands only behind "in"', node.at)
    test = _test(node)
    return _Operand(TRUTH, test, node.at, "(...)")


def _literal(node: Literal) -> _Operand:
    value = node.value
    kind = TEXT if isinstance(value, str) else TRUTH if isinstance(value, bool) else NUMBER
    return _Operand(kind, lambda facts: value, node.at, _source(value), literal=True, value=value)


def _source(value: str | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _comparison(node: Comparison) -> Test:
    if node.operator in ("in", "not in"):
        return _member(node)
    left, right = _operand(node.left), _operand(node.right)
    _check_pair(left, right, node)
    if left.kind is ADDRESS and isinstance(node.right, Literal):
        return _in_networks(left, (node.right,), wanted=node.operator == "==")
    one, other = left.get, right.get
    if node.operator in _ORDER:
        return _ordered(one, _ORDER[node.operator], other)
    return _equal(one, other, wanted=node.operator == "==")


def _ordered(one: Getter, compare: Callable[[Any, Any], bool], other: Getter) -> Test:
    def holds(facts: Facts) -> bool:
        left, right = one(facts), other(facts)
        tag = _tag(left)
        return tag in ("number", "text") and tag == _tag(right) and compare(left, right)

    return holds


def _equal(one: Getter, other: Getter, *, wanted: bool) -> Test:
    def holds(facts: Facts) -> bool:
        left, right = one(facts), other(facts)
        tag = _tag(left)
        return tag in _SCALARS and tag == _tag(right) and (left == right) is wanted

    return holds


def _tag(value: Any) -> str:
    """The kind of a value of JSON, of which `true` is not 1; "" where there is none, or it has parts."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "truth"
    return "number" if isinstance(value, int | float) else ""


def _check_pair(left: _Operand, right: _Operand, node: Comparison) -> None:
    """Refuse to compare what can never be the same, or has no order."""
    if left.literal and right.literal:
        raise ConditionError("both sides are written down; compare with a name", left.at)
    for operand in (left, right):
        if operand.kind in OPAQUE:
            raise ConditionError(f"{operand.source} is {operand.kind.name}; {_as_condition(operand)}", operand.at)
    if left.kind.literal and right.kind.literal and left.kind.literal is not right.kind.literal:
        raise ConditionError(_mismatch(left, right), right.at if right.literal else node.at)
    for operand, other in ((left, right), (right, left)):
        if other.literal and isinstance(other.value, str) and (remedy := operand.kind.remedy(other.value)):
            raise ConditionError(remedy, other.at)
    if node.operator in _ORDER and not all(
        operand.kind.ordered or (operand.literal and other.kind is DATE)
        for operand, other in ((left, right), (right, left))
    ):
        raise ConditionError(f'"{node.operator}" is for numbers and dates; texts have no order here', node.at)


def _mismatch(left: _Operand, right: _Operand) -> str:
    message = f"{left.source} is {left.kind.name}, and {right.source} is {right.kind.name}: they are never the same"
    for operand, other in ((left, right), (right, left)):
        if other.literal and operand.kind is NUMBER and isinstance(other.value, str):
            return f"{message}; write the number without quotes"
        if other.literal and operand.kind is TEXT and other.kind is NUMBER:
            return f'{message}; write "{other.value}"'
    return message


# Membership.


def _member(node: Comparison) -> Test:
    left = _operand(node.left)
    if left.kind in OPAQUE:
        raise ConditionError(f'{left.source} is {left.kind.name}; that stands behind "in"', left.at)
    wanted = node.operator == "in"
    if isinstance(node.right, Listed):
        return _one_of(left, node.right, node, wanted=wanted)
    if left.kind is ADDRESS and isinstance(node.right, Literal):
        return _in_networks(left, (node.right,), wanted=wanted)
    right = _operand(node.right)
    if right.kind not in (LIST, MAPPING, CLAIM):
        remedy = "write [...] for a list; for a part of a text there are startswith, endswith and matches"
        raise ConditionError(f'behind "in" stands a list, not {right.kind.name}; {remedy}', right.at)
    if right.kind is not CLAIM and left.kind not in (*TEXTS, CLAIM):
        raise ConditionError(f"{right.source} has texts, and {left.source} is {left.kind.name}", left.at)
    one = left.get
    other = right.get

    def holds(facts: Facts) -> bool:
        value, holder = one(facts), other(facts)
        if holder is None or _tag(value) not in ("text", "number"):
            return False
        return _has(holder, value) is wanted

    return holds


def _one_of(left: _Operand, listed: Listed, node: Comparison, *, wanted: bool) -> Test:
    if left.kind is ADDRESS:
        return _in_networks(left, listed.items, wanted=wanted)
    for item in listed.items:
        _check_pair(left, _literal(item), Comparison(node.left, "==", item, node.at))
    get, values = left.get, frozenset((_tag(item.value), item.value) for item in listed.items)

    def holds(facts: Facts) -> bool:
        value = get(facts)
        return isinstance(value, str | int | float) and ((_tag(value), value) in values) is wanted

    return holds


def _in_networks(left: _Operand, literals: Sequence[Literal], *, wanted: bool) -> Test:
    networks = NetworkMap((_network(literal), True) for literal in literals)
    get = left.get

    def holds(facts: Facts) -> bool:
        address = get(facts)
        return address is not None and bool(networks.covering(address)) is wanted

    return holds


def _network(literal: Literal) -> Network:
    if "%" in str(literal.value):
        raise ConditionError("addresses of clients have no zone; remove what begins with %", literal.at)
    try:
        return ip_network(str(literal.value))
    except ValueError:
        pass
    try:
        network = ip_network(str(literal.value), strict=False)
    except ValueError:
        raise ConditionError("this is neither an IP address nor a network such as 10.0.0.0/8", literal.at) from None
    raise ConditionError(f'this is an address within a network; write "{network}"', literal.at)


def _has(holder: Any, value: str | float) -> bool:
    """Whether a list has it among its items, or a group among its names. A single text is a list of one."""
    if isinstance(holder, list):
        tag = _tag(value)
        return any(item == value and _tag(item) == tag for item in holder)
    if isinstance(holder, str | int | float):
        return _tag(holder) == _tag(value) and holder == value
    return isinstance(value, str) and value in holder
