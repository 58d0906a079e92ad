"""Expressions that look ahead, without that."""

from __future__ import annotations

import re

import pytest

from gateway.algorithms.linear_regex import LinearRegex
from gateway.importing.lookahead import not_followed, without_looking
from gateway.importing.regexes import anywhere

WORDS = ["", "w", "well-known", "wellx", "a", "ac", "acme", "acx", "api", "app", "ap", "b", "b-c", "b-d"]
PATHS = [
    f"{before}{word}{after}"
    for before in ("/", "/.", "/a/.", "/.well-known/.")
    for word in WORDS
    for after in ("", "/x")
]


@pytest.mark.parametrize(
    "expression",
    [
        r"/\.(?!well-known)",
        r"/\.(?!well-known).*",
        r"/\.(?!well-known\/|acme|ac)",
        "^/(?!api|app/)",
        r"/\.(?!(?:a|b-c))",
    ],
)
def test_an_expression_that_is_not_followed_by_words_fits_the_same_without_looking_ahead(expression: str) -> None:
    """`/\\.(?!well-known)`, which most configurations of nginx have, and the like."""
    ours = not_followed(expression)
    assert ours is not None
    compiled = LinearRegex(anywhere(ours))
    fits = {path: re.search(expression, path) is not None for path in PATHS}
    assert {path: bool(compiled.matches(path)) for path in PATHS} == fits


def test_what_looks_around_in_another_way_is_widened() -> None:
    """Refusing more than the original is right where the same cannot be said."""
    assert not_followed(r"a(?=b)c") is None
    assert not_followed(r"a(?!b)c") is None
    assert without_looking(r"^/(?=a(b)c)x(?<!y)z(?:q)") == "^/xz(?:q)"
