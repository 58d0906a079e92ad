"""Patterns of user agents and paths."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.globs import Glob
from gateway.algorithms.strikes import Strikes, growing


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
    started = time.perf_counter()
    assert not glob.matches("a" * 8000)
    assert time.perf_counter() - started < 0.1


def test_strikes_are_counted_within_their_window() -> None:
    """The third within ten seconds counts, and a third one that comes later does not."""
    strikes = Strikes(10)
    assert [strikes.strike("a", at, limit=3, window=10) for at in (0, 1, 11, 12, 20.5)] == [0, 0, 0, 0, 1]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40).map(sorted), st.integers(1, 5))
def test_strikes_are_exact(times: list[float], limit: int) -> None:
    """Exactly when there are so many within the window since counting began, that is told."""
    strikes = Strikes(10)
    since: list[float] = []
    for at in times:
        since = [*(time for time in since if time > at - 10), at]
        struck = strikes.strike("a", at, limit=limit, window=10)
        assert struck is (len(since) >= limit)
        if struck:
            since = []


def test_strikes_are_bounded() -> None:
    """Of more keys than there is room for, those that struck last are remembered."""
    strikes = Strikes(100)
    for number in range(1000):
        strikes.strike(number, number, limit=2, window=1e9)
    assert len(strikes) == 100
    assert strikes.strike(999, 1000, limit=2, window=1e9)
    assert not strikes.strike(0, 1000, limit=2, window=1e9)


def test_bans_grow_up_to_a_cap() -> None:
    """Each is twice as long as the one before, however often."""
    assert [growing(10, times, 60) for times in (1, 2, 3, 4, 10_000)] == [10, 20, 40, 60, 60]
