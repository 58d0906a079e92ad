"""The header fields, as draft-ietf-httpapi-ratelimit-headers-10 has them."""

import pytest

from gateway.algorithms.gcra import NANOSECONDS
from gateway.limits.windows import WindowSet
from gateway.middleware.rate_limit import fields_passed, fields_refused
from tests.limits.support import windows


def after(held: WindowSet, *used: int) -> list[int]:
    """What is owed after so many units of each window."""
    return [count * interval for count, (_, interval, _) in zip(used, held.intervals, strict=True)]


def test_the_policy_names_what_holds() -> None:
    """Each window is an item with its quota and its length in seconds; one alone has the name of the limit."""
    assert windows("10/s", name="per-consumer").policy == (b"ratelimit-policy", b'"per-consumer";q=10;w=1')
    policy = windows("1000/h", "10/s", "5000/15m", name="a").policy[1]
    assert policy == b'"a-1s";q=10;w=1, "a-15m";q=5000;w=900, "a-1h";q=1000;w=3600'


def test_every_response_reports_the_remaining_units() -> None:
    """r is what would pass at once, t when one more will: seconds, rounded up."""
    held = windows("10/s", "60/h", name="a")
    assert fields_passed(held, after(held, 3, 2))[1] == (b"ratelimit", b'"a-1s";r=7;t=1, "a-1h";r=58;t=60')
    assert fields_passed(held, [0, 0])[1] == (b"ratelimit", b'"a-1s";r=10;t=0, "a-1h";r=60;t=0')


def test_a_refusal_says_when_to_come_back() -> None:
    """Retry-After is never before the t of an item; windows that had room have no t."""
    held = windows("10/s", "60/h", name="a")
    seconds, fields = fields_refused(held, after(held, 5, 60), 1)
    assert seconds == 60
    assert dict(fields)[b"ratelimit"] == b'"a-1s";r=5, "a-1h";r=0;t=60'
    assert dict(fields)[b"retry-after"] == b"60"


def test_a_dear_request_waits_for_all_that_it_costs() -> None:
    """The Retry-After of a request of cost 5 is for five units, not for one."""
    held = windows("60/m", name="a")
    seconds, fields = fields_refused(held, after(held, 58), 5)
    assert seconds == 3
    assert dict(fields)[b"ratelimit"] == b'"a";r=2;t=1'


@pytest.mark.parametrize("elapsed", [0, NANOSECONDS // 2, 59 * NANOSECONDS])
def test_waiting_for_retry_after_is_enough(elapsed: int) -> None:
    """Who comes back after Retry-After is let through."""
    held = windows("1/m", name="a")
    owed = after(held, 1)[0] - elapsed
    seconds, _ = fields_refused(held, [owed], 1)
    assert owed - seconds * NANOSECONDS <= 0
