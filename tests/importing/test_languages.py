"""What two regular expressions have in common is known exactly."""

from __future__ import annotations

import re
from itertools import product

import pytest

from gateway.importing.languages import common, language

TEXTS = ["".join(chars) for length in range(1, 5) for chars in product("vV12axb.", repeat=length)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("v[0-9]+", "(?i)v1.*"),
        ("[a-z]*x", "x[a-z]*"),
        ("(?:a|b)*v", "a[a-z]{1,3}"),
        ("v.+", ".*[0-9]"),
        ("[^a]+", "\\w+"),
        ("[0-9]+", "[a-z]+"),
        ("[a-c]+", "[a-z]+"),
        ("(?:a|ab)(?:x|bx)?", "a.*x"),
    ],
)
def test_what_fits_both_fits_the_common_expression_and_nothing_else(one: str, other: str) -> None:
    """By all short texts: Python's own engine says which fit both."""
    found = common(language(one), language(other))
    assert found is not None
    first, second = ([text for text in TEXTS if re.fullmatch(each, text)] for each in (one, other))
    both = [text for text in first if text in second]
    assert [text for text in TEXTS if found.expression and re.fullmatch(found.expression, text)] == both
    assert (found.text is None) == (both == [])
    assert (found.first_within, found.second_within) == (first == both, second == both)
