"""Which endpoints are considered, and why others are not."""

from __future__ import annotations

import time

from gateway.upstream.considered import SHOWN, considered
from gateway.upstream.member import Address, Member
from tests.upstream.test_service import A, B, C, report, upstream_of


async def test_what_is_out_says_why() -> None:
    """Shares of those that may be chosen, and who says what of the others."""
    upstream = upstream_of(Member(A, 3), B, Member(C, 0))
    report(upstream, B, up=False)
    lines = considered(upstream, time.perf_counter())
    assert lines[0].startswith("10.0.0.1:80: weight 100%")
    assert lines[1] == "10.0.0.2:80: not considered, probe says since 0 s: a test"
    assert lines[2] == "10.0.0.3:80: not considered, weight 0"


async def test_priorities_and_panic_are_shown() -> None:
    """What each priority takes, and where endpoints are used although they are out."""
    upstream = upstream_of(A, Member(B, priority=1))
    assert "priority 0 takes 100%" in considered(upstream, time.perf_counter())[0]
    report(upstream, A, up=False)
    report(upstream, B, up=False)
    line = considered(upstream, time.perf_counter())[0]
    assert "panic: too few are up, so all are used, this one despite probe says" in line


async def test_a_large_service_is_shown_in_part() -> None:
    """With the way to all of it."""
    upstream = upstream_of(*(Address("10.0.0.1", port) for port in range(1, SHOWN + 11)))
    assert considered(upstream, time.perf_counter())[-1] == "... and 10 more: /services/s"
