"""The texts that a condition compares `path` with, in the form of compared paths, for checks against routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gateway.algorithms.conditions.condition import PathTest
from gateway.algorithms.conditions.syntax import Call, Comparison, Joined, Listed, Literal, Node, Not, Path
from gateway.http.paths import normalise_literal


def as_compared(node: Node) -> Node:
    """The same condition, with the texts beside `path` in the form in which paths are compared."""
    if isinstance(node, Not):
        return replace(node, item=as_compared(node.item))
    if isinstance(node, Joined):
        return replace(node, items=tuple(as_compared(item) for item in node.items))
    if isinstance(node, Call) and _is_path(node.subject) and node.function != "matches":
        return replace(node, argument=_literal(node.argument))
    if isinstance(node, Comparison):
        left = _beside(node.left) if _is_path(node.right) else as_compared(node.left)
        right = _beside(node.right) if _is_path(node.left) else as_compared(node.right)
        return replace(node, left=left, right=right)
    return node


def path_tests(node: Node) -> Iterator[PathTest]:
    """Everything that `path` is compared with."""
    if isinstance(node, Not):
        yield from path_tests(node.item)
    elif isinstance(node, Joined):
        for item in node.items:
            yield from path_tests(item)
    elif isinstance(node, Call) and _is_path(node.subject):
        yield PathTest(node.function, str(node.argument.value))
    elif isinstance(node, Comparison):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if _is_path(one):
                yield from (PathTest("equals", text) for text in _texts(other))
            else:
                yield from path_tests(one)


def _is_path(node: Node) -> bool:
    return isinstance(node, Path) and node.name == "path"


def _texts(node: Node) -> Iterator[str]:
    for literal in node.items if isinstance(node, Listed) else (node,):
        if isinstance(literal, Literal) and isinstance(literal.value, str):
            yield literal.value


def _beside(node: Node) -> Node:
    if isinstance(node, Listed):
        return replace(node, items=tuple(map(_literal, node.items)))
    return _literal(node) if isinstance(node, Literal) else node


def _literal(literal: Literal) -> Literal:
    value = literal.value
    return replace(literal, value=normalise_literal(value)) if isinstance(value, str) else literal
