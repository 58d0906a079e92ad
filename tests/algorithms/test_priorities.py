from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.priorities import Level, Load, drawn, loads


def of(*healthy: int) -> Sequence[Level]:
    """Levels of a hundred endpoints."""
    return [Level(each, 100) for each in healthy]


@pytest.mark.parametrize(
    ("healthy", "percents"),
    [
        ((72, 72), (100, 0)),
        ((71, 71), (99, 1)),
        ((50, 50), (70, 30)),
        ((25, 100), (35, 65)),
        ((25, 25), (50, 50)),
        ((25, 25, 100), (35, 35, 30)),
        ((25, 25, 20), (36, 36, 28)),
        ((100,), (100,)),
        ((1,), (100,)),
        ((0, 100), (0, 100)),
        ((0, 0), (100, 0)),
        ((5, 65), (7, 93)),
    ],
)
def test_the_published_table(healthy: Sequence[int], percents: Sequence[int]) -> None:
    """A level keeps all traffic down to 72% healthy endpoints; then the next gets what it cannot take."""
    assert tuple(load.percent for load in loads(of(*healthy))) == percents


@pytest.mark.parametrize(
    ("healthy", "panics"),
    [
        ((72, 72), (False, False)),
        ((50, 60), (False, False)),
        ((25, 100), (False, False)),  # the second can take it all
        ((25, 25), (True, True)),
        ((5, 65), (True, False)),
        ((50,), (False,)),
        ((49,), (True,)),
        ((0, 0), (True, True)),
    ],
)
def test_panic(healthy: Sequence[int], panics: Sequence[bool]) -> None:
    """Below half of its endpoints, and where all levels together cannot take the traffic, a level uses all it has."""
    assert tuple(load.panic for load in loads(of(*healthy))) == panics
    assert not any(load.panic for load in loads(of(*healthy), panic_below=0))


@pytest.mark.parametrize("levels", [[], [Level(0, 0)], [Level(0, 0), Level(3, 3)]])
def test_levels_without_endpoints_get_nothing(levels: Sequence[Level]) -> None:
    """An empty level is passed over where another has endpoints."""
    assert loads(levels) == [Load(100 * (index == len(levels) - 1), panic=False) for index in range(len(levels))]


levels = st.lists(
    st.integers(1, 40).flatmap(lambda total: st.builds(Level, st.integers(0, total), st.just(total))),
    min_size=1,
    max_size=5,
)


@given(levels)
def test_all_traffic_goes_somewhere(levels: list[Level]) -> None:
    """The loads add up to 100%, and only a level with healthy endpoints, or the first in panic, has any."""
    shares = loads(levels)
    assert sum(share.percent for share in shares) == 100
    assert all(share.percent >= 0 for share in shares)
    for index, (level, share) in enumerate(zip(levels, shares, strict=True)):
        if share.percent:
            assert level.healthy or (index == 0 and share.panic)


def test_requests_are_dealt_by_load() -> None:
    """Of a hundred evenly spread draws each level gets its load."""
    shares = loads(of(25, 25, 20))
    assert Counter(drawn(shares, draw / 100) for draw in range(100)) == {0: 36, 1: 36, 2: 28}
