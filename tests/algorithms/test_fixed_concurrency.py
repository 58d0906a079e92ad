from gateway.algorithms.fixed_concurrency import FixedLimit


def test_no_more_at_once_than_the_limit() -> None:
    """What ended, with an answer or without, makes room for another, and a lower limit ends none that runs."""
    limit = FixedLimit(2)
    assert [limit.acquire(0.0) for _ in range(3)] == [True, True, False]
    limit.ended(0.0, 1.0)
    assert limit.acquire(1.0)
    limit.lost()
    limit.limit = 1
    assert not limit.acquire(1.0)
    limit.lost()
    assert limit.acquire(1.0)
