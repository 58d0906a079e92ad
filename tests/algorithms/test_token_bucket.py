"""How many may pass in a second."""

from __future__ import annotations

from itertools import pairwise

from gateway.algorithms.token_bucket import TokenBucket


def test_of_a_flood_as_many_pass_as_allowed_and_evenly() -> None:
    """At once what a second brings; from then on one every hundredth of a second, not all of a second at its start."""
    bucket = TokenBucket(100)
    passed = [moment for moment in (10 + number / 2000 for number in range(6000)) if bucket.take(moment)]
    assert 395 <= len(passed) <= 400
    later = [moment for moment in passed if moment >= 11.5]
    assert all(0.009 < after - before < 0.011 for before, after in pairwise(later))


def test_a_clock_that_goes_back_brings_nothing() -> None:
    """Not even when it goes forward to where it was, and nothing that it held is lost."""
    bucket = TokenBucket(2)
    assert [bucket.take(moment) for moment in (10.0, 10.0, 4.0, 4.25)] == [True, True, False, False]
    assert bucket.take(4.6)
