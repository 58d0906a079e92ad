"""Patterns with stars, which the blocklist has of user agents and paths."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.globs import Glob
from tests.support import computes_within


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*sqlmap*", "Mozilla SQLMap/1.7", True),
        ("/wp-*", "/wp-admin/x", True),
        ("/wp-*", "/a/wp-admin", False),
        ("*.php", "/index.php", True),
        ("*.php", "/index.php/x", False),
        ("curl", "curl/8", False),
        ("a*a", "a", False),
        ("a.c", "abc", False),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, text: str, fits: bool) -> None:
    """Everything else stands for itself, whatever its case, and the whole text is compared."""
    assert Glob(pattern).matches(text.lower()) is fits


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_pattern_means_what_it_means_as_a_regular_expression(pattern: str, text: str) -> None:
    """Looking for each piece as far left as it can be misses nothing."""
    assert Glob(pattern).matches(text) is bool(re.fullmatch(pattern.replace("*", ".*"), text))


def test_no_text_takes_long() -> None:
    """A pattern and a text that would keep a backtracking expression busy for ever."""
    glob = Glob("*a" * 90 + "b")
    assert not glob.matches("a" * 8000)
    assert computes_within(0.1, lambda: Glob("*a" * 90 + "b").matches("a" * 8000))
