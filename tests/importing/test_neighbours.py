"""Finding the routes that may share a request, without comparing each with each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.importing.neighbours import Neighbours
from gateway.importing.patterns import Pattern, below, intersection

SEGMENTS = (
    "a",
    "ab",
    "abc",
    "b",
    "",
    "{x}",
    "*",
    "a*",
    "ab*",
    "{n:[a-b]+}",
    "{n:(a|b)}",
    "{n:(?i)(a|B)}",
    "a{n:.*}",
    "a{m}c",
    "x{n:[0-9]}",
)

patterns = st.builds(
    Pattern, st.lists(st.sampled_from(SEGMENTS), max_size=3).map(tuple), rest=st.booleans(), beneath=st.booleans()
)


@given(known=st.lists(patterns, max_size=8), one=patterns)
def test_none_is_missed(known: list[Pattern], one: Pattern) -> None:
    """Whatever has something in common with a pattern is found, in the order of the list."""
    found = Neighbours(known).of(one)
    assert found == sorted(set(found))
    missed = [other for number, other in enumerate(known) if number not in found]
    assert [other for other in missed if intersection(one, other) is not None] == []


def test_few_are_compared() -> None:
    """Of a thousand prefixes each is compared with those that it may meet, and not with all."""
    known = [below(f"/api/v1/shop{number}/") for number in range(1000)] + [below("/")]
    near = Neighbours(known)
    assert [near.of(pattern) for pattern in known[:3]] == [[0, 1000], [1, 1000], [2, 1000]]


def test_few_expressions_are_compared() -> None:
    """Of a thousand that begin alike, a path or an expression meets those that can fit the same texts, and no other."""
    known = [Pattern(("api", "v1", f"{{part:(?:users|items{number})}}", "{id:[0-9]+}")) for number in range(1000)]
    known.append(Pattern(("api", "v1", "items7", "{x}")))
    near = Neighbours(known)
    last = Pattern(("api", "v1", "{part:items88}", "{id:[0-9]+}"))
    assert [near.of(pattern) for pattern in (known[1000], last)] == [[7, 1000], [8, 88, *range(880, 890)]]
    assert near.of(Pattern(("api", "v1", "items7", "5"))) == [7, 1000]
