from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms import gcra
from gateway.algorithms.gcra import NANOSECONDS, Window


def admitted(window: Window, arrivals: list[int]) -> list[int]:
    """Which of these arrivals pass, when all cost 1."""
    tat, passed = 0, []
    for now in arrivals:
        owed = gcra.debt(tat, now) + window.interval
        if owed <= window.capacity:
            tat = now + owed
            passed.append(now)
    return passed


windows = st.builds(Window, st.integers(1, 5000), st.sampled_from([1, 7, 60, 3600, 86400]), st.integers(1, 5000))


def test_a_burst_passes_at_once_and_no_more() -> None:
    """10/s lets ten requests of the same moment pass, and refuses the eleventh."""
    assert len(admitted(Window(10, 1, 10), [5] * 20)) == 10


def test_what_is_used_up_comes_back_evenly() -> None:
    """After a burst one request passes every tenth of a second."""
    window = Window(10, 1, 10)
    tenth = NANOSECONDS // 10
    assert admitted(window, [0] * 10 + [tenth - 1, tenth, tenth, 2 * tenth]) == [0] * 10 + [tenth, 2 * tenth]


@given(windows, st.lists(st.integers(0, 200 * NANOSECONDS), max_size=200))
def test_no_stretch_of_time_sees_more_than_its_share(window: Window, arrivals: list[int]) -> None:
    """Between any two moments at most the burst passes, and what the time in between brings."""
    passed = admitted(window, sorted(arrivals))
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            count = last - first + 1
            assert count <= window.burst + (passed[last] - start) * window.limit / (window.seconds * NANOSECONDS)


@given(windows, st.integers(0, 10**16), st.integers(1, 5000))
def test_a_client_that_waits_for_retry_after_passes(window: Window, owed: int, cost: int) -> None:
    """The wait is exact: at its end the request fits, a nanosecond before it does not."""
    waiting = gcra.wait(owed, window.interval, window.capacity, cost)
    later = max(0, owed - waiting)
    if cost <= window.burst:
        assert later + cost * window.interval <= window.capacity
    if waiting:
        assert owed - (waiting - 1) + cost * window.interval > window.capacity


@given(windows, st.integers(0, 10**13))
def test_one_more_is_there_when_it_is_announced(window: Window, owed: int) -> None:
    """At the announced time at least one unit more is left, and a nanosecond before none."""
    left = gcra.remaining(owed, window.interval, window.capacity)
    waiting = gcra.until_next(owed, window.interval, window.capacity)
    if owed == 0:
        assert waiting == 0
        assert left == window.burst
    else:
        assert gcra.remaining(max(0, owed - waiting), window.interval, window.capacity) >= left + 1
        assert gcra.remaining(max(0, owed - waiting + 1), window.interval, window.capacity) == left


def test_an_uneven_limit_is_never_exceeded() -> None:
    """3/s is 333333334 ns apart: rounded so that three in a second pass and never a fourth."""
    window = Window(3, 1, 1)
    step = NANOSECONDS // 1000
    passed = admitted(window, list(range(0, 10 * NANOSECONDS, step)))
    assert len(passed) == 30
