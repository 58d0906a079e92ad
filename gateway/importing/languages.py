"""The exact intersection of two regular expressions: a text of it, which contains the other, and an expression for it.

By derivatives (Brzozowski, Derivatives of Regular Expressions, 1964): what may follow one character of what fits is
again an expression, so that the pairs of what is left of both are the states of an automaton for what fits both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from gateway.algorithms.regex_syntax import Chain, Chars, Choice, Node, Repeat, parse

MOST_STATES = 120
LONGEST = 300
"""Characters of an expression that is made."""

NONE = Choice(())
"""No text fits it."""
EMPTY = Chain(())
"""Only the empty text fits it."""

_SLASH = ord("/")
_FIRST = 32  # no path has a control character
_LAST = 0x10FFFF
_SHOWN = [ord(char) for char in "1aAbzZ0-_.~"]

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Common:
    """The intersection of two languages. `text`: the shortest that fits both, None if none does. `first_within`: all
    that fits the first fits the second. `expression`: for what fits both; None if that would be too long."""

    text: str | None
    first_within: bool
    second_within: bool
    expression: str | None


@lru_cache(maxsize=10_000)
def language(expression: str) -> Node:
    """An expression as a tree that knows upper from lower case. Raises RegexError."""
    node, ignore_case = parse(expression)
    return _both_cases(node) if ignore_case else node


def text_of(text: str) -> Node:
    """The language of exactly this text."""
    return chained(Chars(((ord(char), ord(char)),)) for char in text)


def anything() -> Node:
    """One or more characters within a segment."""
    return Repeat(Chars(((_SLASH, _SLASH),), negated=True), 1, None)


def behind(node: Node, text: str) -> Node:
    """The texts that may follow a text."""
    for char in text:
        node = _after(node, ord(char))
    return node


def _both_cases(node: Node) -> Node:
    if isinstance(node, Chars):
        return Chars(tuple(piece for low, high in node.ranges for piece in _spellings(low, high)), node.negated)
    if isinstance(node, Chain):
        return Chain(tuple(map(_both_cases, node.items)))
    if isinstance(node, Choice):
        return Choice(tuple(map(_both_cases, node.items)))
    return Repeat(_both_cases(node.item), node.least, node.most)


def _spellings(low: int, high: int) -> Iterator[tuple[int, int]]:
    yield low, high
    for first, last, other in ((65, 90, 32), (97, 122, -32)):
        if low <= last and high >= first:
            yield max(low, first) + other, min(high, last) + other


def chained(nodes: Iterable[Node]) -> Node:
    """One after the other."""
    items: list[Node] = []
    for node in nodes:
        if node == NONE:
            return NONE
        items += node.items if isinstance(node, Chain) else [node]
    return items[0] if len(items) == 1 else Chain(tuple(items))


def _either(nodes: Iterable[Node]) -> Node:
    found: dict[Node, None] = {}
    for node in nodes:
        found |= dict.fromkeys(node.items if isinstance(node, Choice) else [node])
    return next(iter(found)) if len(found) == 1 else Choice(tuple(found))


def _nullable(node: Node) -> bool:
    if isinstance(node, Chain):
        return all(map(_nullable, node.items))
    if isinstance(node, Choice):
        return any(map(_nullable, node.items))
    return isinstance(node, Repeat) and (node.least == 0 or _nullable(node.item))


@lru_cache(maxsize=20_000)
def _after(node: Node, code: int) -> Node:
    """The texts that may follow this character."""
    if isinstance(node, Chars):
        return EMPTY if node.fits((code,)) else NONE
    if isinstance(node, Choice):
        return _either(_after(item, code) for item in node.items)
    if isinstance(node, Repeat):
        if node.most == 0:
            return NONE
        fewer = Repeat(node.item, max(node.least - 1, 0), None if node.most is None else node.most - 1)
        return chained((_after(node.item, code), fewer if fewer.most != 0 else EMPTY))
    found = []
    for number, item in enumerate(node.items):
        found.append(chained((_after(item, code), *node.items[number + 1 :])))
        if not _nullable(item):
            break
    return _either(found)


_State = tuple[Node, Node]


def common(one: Node, other: Node) -> Common | None:
    """The intersection of two languages, of texts of one character and more; None if that takes too long to find."""
    borders = sorted({_FIRST, _SLASH, _SLASH + 1, 128} | {b for b in _borders(one) | _borders(other) if b > _FIRST})
    classes = [
        (low, high)
        for low, following in zip(borders, [*borders[1:], _LAST + 1], strict=True)
        if low != _SLASH and (high := following - 1) >= low
    ]
    start: _State = (one, other)
    texts: dict[_State, str] = {start: ""}
    graph: dict[_State, dict[_State, list[tuple[int, int]]]] = {}
    queue = [start]
    shortest: str | None = None
    first_within = second_within = True
    for state in queue:
        if len(queue) > MOST_STATES:
            return None
        steps: dict[_State, list[tuple[int, int]]] = {}
        for low, high in classes:
            code = next((each for each in _SHOWN if low <= each <= high), low)
            following = (_after(state[0], code), _after(state[1], code))
            if following == (NONE, NONE):
                continue
            steps.setdefault(following, []).append((low, high))
            if following not in texts:
                texts[following] = texts[state] + chr(code)
                queue.append(following)
            accepted = _nullable(following[0]), _nullable(following[1])
            first_within &= accepted != (True, False)
            second_within &= accepted != (False, True)
            if accepted == (True, True) and shortest is None:
                shortest = texts[state] + chr(code)
        graph[state] = steps
    return Common(shortest, first_within, second_within, None if shortest is None else _expression(graph, start))


def _borders(node: Node) -> set[int]:
    if isinstance(node, Chars):
        return {border for low, high in node.ranges for border in (low, high + 1) if border <= _LAST}
    items = (node.item,) if isinstance(node, Repeat) else node.items
    return {border for item in items for border in _borders(item)}


def _expression(graph: dict[_State, dict[_State, list[tuple[int, int]]]], start: _State) -> str | None:
    """The expression of an automaton: its states are taken out one after the other, and what led through each is
    written at what is left (Brzozowski and McCluskey, 1963)."""
    leading = {state for state in graph if _nullable(state[0]) and _nullable(state[1])}  # to an end
    while more := {state for state, steps in graph.items() if state not in leading and not leading.isdisjoint(steps)}:
        leading |= more
    useful = [state for state in graph if state in leading]
    edges: dict[tuple[object, object], str] = {("start", start): ""}
    for state in useful:
        for following, ranges in graph[state].items():
            if following in useful:
                edges[state, following] = _class(ranges)
        if _nullable(state[0]) and _nullable(state[1]):
            edges[state, "end"] = ""
    for state in sorted(useful, key=lambda each: (each == start, len(graph[each]))):
        loop = edges.pop((state, state), None)
        around = "" if loop is None else _atom(loop) + "*"
        into = {a: text for (a, b), text in edges.items() if b == state}
        out = {b: text for (a, b), text in edges.items() if a == state}
        edges = {pair: text for pair, text in edges.items() if state not in pair}
        for a, before in into.items():
            for b, after in out.items():
                if around and before == around[:-1]:
                    through = before + "+" + _in_chain(after)
                else:
                    through = _in_chain(before) + around + _in_chain(after)
                text = through
                if (beside := edges.get((a, b))) is not None:
                    text = f"{beside}|{through}" if beside and through else _atom(beside or through) + "?"
                if len(text) > LONGEST:
                    return None
                edges[a, b] = text
    return edges.get(("start", "end"))


def _in_chain(text: str) -> str:
    """The expression, in a group where a bar stands outside of groups and classes."""
    depth, members, escaped = 0, False, False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif members:
            members = char != "]"
        elif char == "[":
            members = True
        elif char == "|" and depth == 0:
            return f"(?:{text})"
        else:
            depth += (char == "(") - (char == ")")
    return text


def _atom(text: str) -> str:
    single = (
        len(text) == 1 or (len(text) == 2 and text[0] == "\\") or (text[:1] == "[" and text.find("]") == len(text) - 1)
    )
    return text if single else f"(?:{text})"


def _class(ranges: list[tuple[int, int]]) -> str:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and merged[-1][1] + 1 == low:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    if len(merged) == 1 and merged[0][0] == merged[0][1]:
        return _char(merged[0][0])
    if merged[-1][1] == _LAST and merged[0][0] == _FIRST:
        gaps = [(a[1] + 1, b[0] - 1) for a, b in pairwise(merged)]
        return "[^" + "".join(map(_range, gaps)) + "]"
    return "[" + "".join(map(_range, merged)) + "]"


def _range(bounds: tuple[int, int]) -> str:
    low, high = bounds
    return _char(low) if low == high else f"{_char(low)}-{_char(high)}" if high > low + 1 else _char(low) + _char(high)


def _char(code: int) -> str:
    char = chr(code)
    return char if char.isalnum() or char in "_~%!@,;:='\"<> /" or code > 127 else "\\" + char
