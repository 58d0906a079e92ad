"""What is learned of the time after which an endpoint closes idle connections, as arithmetic."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.idle_limit import START, IdleLimit


def test_it_starts_below_what_backends_have() -> None:
    """Until anything is known, it is shorter than the 5 s of Node.js and uvicorn."""
    assert IdleLimit().seconds == START == 4.0


@pytest.mark.parametrize(("close", "limit"), [(5.0, 4.0), (2.0, 1.6), (0.3, 0.2), (0.05, 0.0), (75.0, 4.0)])
def test_a_close_teaches(close: float, limit: float) -> None:
    """A close that is seen brings the limit well below the age of that connection; a late one does not raise it."""
    learned = IdleLimit()
    learned.closed(close)
    assert learned.seconds == pytest.approx(limit)


@pytest.mark.parametrize(("declared", "limit"), [(5, 4.0), (75, 60.0), (2, 1.0), (1, 0.0)])
def test_what_the_endpoint_says(declared: float, limit: float) -> None:
    """`Keep-Alive: timeout=N` counts at once, in both directions; a close that contradicts it counts more."""
    learned = IdleLimit()
    learned.declared(declared)
    assert learned.seconds == pytest.approx(limit)
    learned.closed(0.5)
    learned.declared(declared)
    assert learned.seconds <= 0.4


def test_an_old_connection_that_answers_raises_it() -> None:
    """A backend that keeps connections for a minute is found out, by the requests that may be sent twice."""
    learned = IdleLimit()
    for age in (10, 30, 59):
        learned.answered(age)
    assert learned.seconds == pytest.approx(0.8 * 59)
    learned.answered(1)
    assert learned.seconds == pytest.approx(0.8 * 59)


def test_a_restart_is_no_idle_limit() -> None:
    """A backend that closes everything as it ends makes for fresh connections for a while, not for ever."""
    learned = IdleLimit()
    learned.closed(0.01)
    assert learned.seconds == 0
    for _ in range(10):
        learned.stayed_open(60)
    assert learned.seconds == START


@given(st.floats(0.2, 120), st.lists(st.floats(0, 150), max_size=50), st.integers(0, 1000))
def test_it_never_passes_a_backend_that_is_true_to_its_time(backend: float, ages: list[float], seed: int) -> None:
    """Once the first close of a backend was seen, nothing that such a backend can do brings the limit near it."""
    learned, chance = IdleLimit(), random.Random(seed)
    learned.closed(backend)
    for age in ages:
        if age >= backend:
            learned.closed(backend)
        else:
            chance.choice((learned.stayed_open, learned.answered))(age)
        assert learned.seconds <= max(0.8 * backend, 0)
        assert learned.seconds <= backend - 0.099
