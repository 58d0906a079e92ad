"""Texts with which all that fits an expression begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.linear_regex import LinearRegex
from gateway.algorithms.regex_beginnings import LONGEST, MOST, beginnings, every_text
from gateway.algorithms.regex_syntax import RegexError
from tests.algorithms.test_linear_regex import PATTERNS


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("users|items7", {"users", "items7"}),
        ("v[12](/x)?", {"v1", "v2", "v1/x", "v2/x"}),
        ("items[0-9]+", {f"items{digit}" for digit in range(10)}),
        ("a{3}b*", {"aaa"}),
        ("[^/]+x", {""}),
        ("(?:x|[a-z]*)y", {"x", ""}),
        ("é", {"é"}),
        ("x" * 100, {"x" * LONGEST}),
    ],
)
def test_it_goes_as_far_as_the_texts_are_few(pattern: str, texts: set[str]) -> None:
    """Choices and small classes are written out; what may be anything ends them."""
    assert set(beginnings(pattern)) == texts


@given(PATTERNS, st.lists(st.text("ab1.-c", max_size=8), max_size=8), st.booleans())
def test_what_fits_begins_with_one_of_them(pattern: str, texts: list[str], ignoring_case: bool) -> None:
    """None is missed, in either case of letters where that is the same, and they stay few and short."""
    source = f"(?i){pattern}" if ignoring_case else pattern
    try:
        regex, found, whole = LinearRegex(source), beginnings(source), every_text(source)
    except RegexError:
        return  # too many positions
    assert len(found) <= MOST
    assert max(map(len, found)) <= LONGEST
    for text in [*texts, *(text.upper() for text in texts)]:
        if regex.matches(text):
            assert text.lower().startswith(tuple(one.lower() for one in found))
            assert whole is None or text.lower() in [one.lower() for one in whole]
    assert all(map(regex.matches, whole or ()))
