"""What the gateway says of the clock of the machine. That clock cannot be set here, so it is one that the test sets."""

from __future__ import annotations

import pytest

from gateway.auth.token_times import TokenTimes
from gateway.live import Owner
from gateway.server.clock_watch import REPORTED_SECONDS, ClockWatch


class Clocks:
    def __init__(self) -> None:
        self.passed, self.set_by = 0.0, 0.0

    def wall(self) -> float:
        return 1.8e9 + self.passed + self.set_by

    def steady(self) -> float:
        return 50.0 + self.passed


async def test_a_clock_that_is_set_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """By how much and when, in the log and for some minutes in /health, and what goes by it; counted for ever."""
    clocks = Clocks()
    watch = ClockWatch(Owner(), TokenTimes(), clocks)
    clocks.passed += 5
    watch.look()
    assert [*watch.troubles()] == []
    clocks.set_by = -3600
    clocks.passed += 5
    watch.look()
    (trouble,) = watch.troubles()
    assert "was set back by 3600 s, 0 s ago" in trouble
    assert "timedatectl" in trouble
    assert "was set back by 3600 s" in caplog.text
    clocks.passed += REPORTED_SECONDS + 1
    watch.look()
    assert [*watch.troubles()] == []
    assert watch.measures()["gateway_clock_jumps_total"] == 1


async def test_a_clock_that_is_steered_is_right() -> None:
    """Small corrections of a time daemon are not reported."""
    clocks = Clocks()
    watch = ClockWatch(Owner(), TokenTimes(), clocks)
    for _ in range(100):
        clocks.passed += 5
        clocks.set_by += 0.01
        watch.look()
    assert [*watch.troubles()] == []
