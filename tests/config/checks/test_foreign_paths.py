"""Segments of paths that look like captures of other gateways."""

from __future__ import annotations

import pytest

from gateway.config.checks.foreign_paths import literal
from tests.config.support import parsed


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("/c/:id", "for any segment write {id}"),
        ("/g/<int:id>", "for any segment write {id}"),
        ("/h/(.*)", "a regular expression is written"),
        ("/k/[0-9]+", "a regular expression is written"),
        ("/k/\\\\d+", "a regular expression is written"),
        ("/l/{id:[0-9]{1,3}}/x", None),
        ("/m/a:b", None),
        ("/n/item.json/a$b", None),
        ("/n/*", None),
    ],
)
def test_what_looks_like_a_capture_is_warned_of(path: str, remedy: str | None) -> None:
    """With what to write; what is ours, or plain text, is not."""
    for routes in (f'- {{path: "{path}", target: "b:1"}}', f'- {{paths: [/o, "{path}"], target: "b:1"}}'):
        faults = list(literal(parsed(routes)))
        assert [remedy in fault.message for fault in faults if remedy] == ([True] if remedy else [])
        assert bool(faults) is (remedy is not None)
