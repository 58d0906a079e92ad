"""What is compiled keeps to what the compiler gets right."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from .programs import ROOT


def _compiled() -> list[Path]:
    listed = re.search(r'^MODULES = """(.*?)"""', (ROOT / "setup.py").read_text(), re.DOTALL | re.MULTILINE)
    assert listed is not None
    policies = [path for path in (ROOT / "gateway/middleware").glob("*.py") if "compiled=True" in path.read_text()]
    return [ROOT / f"gateway/{name}.py" for name in listed[1].split()] + policies


_TAKEN = re.compile(
    "_+(asm|attribute|complex|const|extension|imag|inline|label|real|restrict|signed|thread|typeof|volatile)_*"
)
"""What is a word of the C compiler behind two underscores."""


def _suspensions(nodes: list[ast.stmt]) -> Iterator[int]:
    """The lines where a coroutine may be suspended in these, apart from functions that are only defined there."""
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Yield | ast.YieldFrom):
            yield node.lineno
        waiting += ast.iter_child_nodes(node)


def test_no_failure_is_held_while_something_is_awaited() -> None:
    """A compiled coroutine that is suspended inside `except` or `finally` hands its failure to whatever runs next.

    That is how one client gets the failure of another's request.
    """
    found = []
    for path in _compiled():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Try):
                handled = [line for handler in node.handlers for line in _suspensions(handler.body)]
                found += [f"{path.name}:{line}" for line in (*handled, *_suspensions(node.finalbody))]
    assert found == []


def test_no_attribute_becomes_a_word_of_c() -> None:
    """The compiler puts an underscore in front of attributes: of `_thread`, C reads a storage class."""
    found = []
    for path in _compiled():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and _TAKEN.fullmatch(node.attr):
                found.append(f"{path.name}:{node.lineno} {node.attr}")
    assert found == []
