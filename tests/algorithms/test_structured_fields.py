"""Structured fields are read as strictly as RFC 9651 has it, and written in their one form."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.structured_fields import (
    Bare,
    InnerList,
    Item,
    Member,
    StructureError,
    Token,
    parse_dictionary,
    serialise_member,
)

KEYS = st.from_regex(r"[a-z*][a-z0-9_\-.*]{0,6}", fullmatch=True)
BARES: st.SearchStrategy[Bare] = st.one_of(
    st.booleans(),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.decimals(-(10**11), 10**11, places=2, allow_nan=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    st.from_regex(r"[A-Za-z*][A-Za-z0-9:/!#]{0,6}", fullmatch=True).map(Token),
    st.binary(max_size=8),
)
PARAMETERS = st.dictionaries(KEYS, BARES, max_size=3)
ITEMS = st.builds(Item, BARES, PARAMETERS)
MEMBERS: st.SearchStrategy[Member] = st.one_of(
    ITEMS, st.builds(InnerList, st.lists(ITEMS, max_size=3).map(tuple), PARAMETERS)
)


@given(st.dictionaries(KEYS, MEMBERS, max_size=4))
def test_what_was_written_is_read_back(members: dict[str, Member]) -> None:
    """Writing and reading are each other's opposite, so that a signature base is the same on both sides."""
    assert parse_dictionary(", ".join(serialise_member(name, member) for name, member in members.items())) == members


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but the one error is raised, whatever a client sends."""
    members: dict[str, Member] = {}
    try:
        members = parse_dictionary(text)
    except StructureError:
        return
    assert all(isinstance(member, Item | InnerList) for member in members.values())


@pytest.mark.parametrize(
    "text",
    [
        "a=1,",
        "a=1 b=2",
        "A=1",
        "a=",
        'a="x',
        'a="\x7f"',
        'a="\\x"',
        "a=:x:",
        "a=:YQ",
        "a=1.",
        "a=1.2345",
        "a=1234567890123456",
        "a=01234567890123456",
        "a=-",
        "a=?2",
        "a=(1 2",
        "a=(1,2)",
        'a=("x""y")',
        "a=@1",
        'a=%"x"',
        ",a",
        "a=1;;b",
        "a=1\n",
        "a;" + ";".join(f"p{index}" for index in range(300)),
        ",".join(f"a{index}" for index in range(300)),
        "a=" + "x" * 20000,
    ],
)
def test_what_is_malformed_is_refused(text: str) -> None:
    """Another reader might take it for something else; and there is an end to how much is read."""
    with pytest.raises(StructureError):
        parse_dictionary(text)


def test_the_last_of_equal_keys_counts() -> None:
    """RFC 9651, 4.2.2: it takes the place of the first."""
    assert list(parse_dictionary("a=1, b=2, a=3").items()) == [("a", Item(3)), ("b", Item(2))]
    assert parse_dictionary("a=1.50")["a"] == Item(Decimal("1.5"))
