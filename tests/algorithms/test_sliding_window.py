"""How often something happened within a time, which the blocklist counts of failed authentications."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.sliding_window import SlidingWindow


def test_events_are_counted_within_their_window() -> None:
    """The third within ten seconds counts, and a third one that comes later does not."""
    window = SlidingWindow(10)
    assert [window.add("a", at, limit=3, window=10) for at in (0, 1, 11, 12, 20.5)] == [0, 0, 0, 0, 1]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40).map(sorted), st.integers(1, 5))
def test_counts_are_exact(times: list[float], limit: int) -> None:
    """Exactly when there are so many within the window since counting began, the limit is reached."""
    window = SlidingWindow(10)
    since: list[float] = []
    for at in times:
        since = [*(time for time in since if time > at - 10), at]
        reached = window.add("a", at, limit=limit, window=10)
        assert reached is (len(since) >= limit)
        if reached:
            since = []


def test_keys_are_bounded() -> None:
    """Of more keys than there is room for, the latest are remembered."""
    window = SlidingWindow(100)
    for number in range(1000):
        window.add(number, number, limit=2, window=1e9)
    assert len(window) == 100
    assert window.add(999, 1000, limit=2, window=1e9)
    assert not window.add(0, 1000, limit=2, window=1e9)
