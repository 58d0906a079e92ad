"""Patterns mean what they mean to Python, and never take longer than the text is long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.linear_regex import MAX_TEXT, LinearRegex, TextTooLong
from gateway.algorithms.regex_syntax import RegexError
from tests.support import computes_within

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "[a-c1]", r"\d", r"\w", r"\.", "1", "(?:ab)", "-"])
QUANTIFIERS = st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "{0}"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, QUANTIFIERS).map(lambda two: f"({two[0]}){two[1]}"),
    ),
    max_leaves=6,
)


@given(PATTERNS, st.lists(st.text("ab1.-c", max_size=8), max_size=8), st.booleans())
def test_a_pattern_means_what_python_takes_it_to_mean(pattern: str, texts: list[str], ignoring_case: bool) -> None:
    """The syntax is that of common regular expressions."""
    source = f"(?i){pattern}" if ignoring_case else pattern
    try:
        mine = LinearRegex(source)
    except RegexError:
        return  # too many positions
    theirs = re.compile(source, re.ASCII)
    for text in texts:
        for written in (text, text.upper()):
            assert mine.matches(written) == bool(theirs.fullmatch(written))


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "a*a*a*a*a*a*a*b"])
def test_no_pattern_explodes(pattern: str) -> None:
    """A client cannot keep the gateway busy with a text that is expensive for a pattern."""
    assert not LinearRegex(pattern).matches("a" * MAX_TEXT)
    assert computes_within(0.5, lambda: LinearRegex(pattern).matches("a" * MAX_TEXT))


def test_patterns_with_many_states_stay_affordable() -> None:
    """Not even a pattern whose automaton has 2^100 states, and a text that wanders through them, takes long."""
    text = "".join("ab"[(index * index) % 7 % 2] for index in range(MAX_TEXT))
    assert computes_within(0.5, lambda: LinearRegex("(a|b)*a(a|b){100}").matches(text))


def test_repetitions_of_nothing_end() -> None:
    """A pattern that repeats nothing a thousand thousand times is compiled at once."""
    assert LinearRegex("((((){999}){999}){999}){999}").matches("")


@pytest.mark.parametrize(
    ("pattern", "offset", "message"),
    [
        ("(a", 0, "without its"),
        ("a)", 1, "without its"),
        ("a[b", 1, "without its"),
        ("*a", 0, "nothing before it"),
        ("a**", 2, "a quantifier after a quantifier"),
        ("a*?", 2, "a quantifier after a quantifier"),
        (r"(a)\1", 3, "escape is not known"),
        ("(?=a)", 0, "not known here"),
        ("a^b", 1, "remove it"),
        ("[z-a]", 1, "not a range"),
        ("a{3,1}", 1, "less than"),
        ("a{,3}", 1, "expected {2}"),
        ("(" * 30 + ")" * 30, 20, "nested"),
        ("a{999}", 0, "more than"),
        ("a" * 501, 500, "longer than"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(pattern: str, offset: int, message: str) -> None:
    """A pattern that would mean something else than elsewhere is an error, not a surprise."""
    with pytest.raises(RegexError, match=re.escape(message)) as caught:
        LinearRegex(pattern)
    assert caught.value.offset == offset


def test_of_a_longer_text_nothing_is_known() -> None:
    """What is longer than anything that is meant neither fits nor does not: a rule must not let it pass for either."""
    assert LinearRegex("a*").matches("a" * MAX_TEXT)
    with pytest.raises(TextTooLong):
        LinearRegex("a*").matches("a" * (MAX_TEXT + 1))


@pytest.mark.parametrize("pattern", ["(a|b)*a(a|b){120}", "([^\u0100-\u0200x]|.){120}.*", "(?i)(é|E|[à-ü])*a.{200}"])
def test_no_text_takes_long(pattern: str) -> None:
    """Neither texts that wander through all states, nor those of ever other characters, cost much."""
    texts = ["".join("ab"[(index * index) % 7 % 2] for index in range(MAX_TEXT)), "".join(map(chr, range(MAX_TEXT)))]
    for text in texts:
        assert computes_within(0.25, lambda text=text: LinearRegex(pattern).matches(text))  # type: ignore[misc]


@given(st.lists(st.sampled_from("éÉàaAzZ{[ü\u0131\u212aK\U0001f600"), max_size=6).map("".join), st.booleans())
def test_letters_beyond_ascii_are_what_they_are(text: str, ignoring_case: bool) -> None:
    """A character that no part of a pattern names fits only what takes any, also where it is remembered by its kind."""
    for source in ("[a-z{é]*", ".*[^a-z]", "(à|[Z-é])+", "[^\u0100-\U0001f600]*"):
        flags = re.ASCII | (re.IGNORECASE if ignoring_case else 0)
        mine = LinearRegex(f"(?i){source}" if ignoring_case else source)
        if not ignoring_case or text.isascii():
            assert mine.matches(text) == bool(re.compile(source, flags).fullmatch(text))
        assert mine.matches(text) == mine.matches(text)
