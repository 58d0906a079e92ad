"""The results of tests, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.testing.run import Compared, Result


def name_of(result: Result) -> str:
    """The name of a test."""
    case = result.placed.case
    return case.name or f"{case.request.method} {case.request.path}"


def difference(result: Result) -> Iterator[str]:
    """The lines about a test that failed: what was expected behind a minus, what is behind a plus."""
    placed = result.placed
    yield f"FAILED {placed.file}:{placed.line}:{placed.column}: {name_of(result)}"
    for each in result.compared:
        if each.same:
            yield f"    {each.key}: {_written(each.got)}"
        else:
            yield f"  - {each.key}: {_written(each.expected)}"
            yield f"  + {each.key}: {_written(each.got)}"
    yield from (f"  ({why})" for why in result.why)


def _written(value: Any) -> str:
    return "null" if value is None else str(value)


def as_data(result: Result) -> dict[str, Any]:
    """The same for machines."""
    placed = result.placed
    return {
        "name": name_of(result),
        "file": placed.file,
        "line": placed.line,
        "column": placed.column,
        "passed": result.passed,
        "expected": _values(result.compared, "expected"),
        "got": _values(result.compared, "got"),
        "different": [each.key for each in result.compared if not each.same],
        "why": list(result.why),
    }


def _values(compared: Iterable[Compared], which: str) -> dict[str, Any]:
    return {each.key: getattr(each, which) for each in compared}
