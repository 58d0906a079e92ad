from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.algorithms.calendar_windows import Unit, span_at

HOUR = 3600


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("zone", "now", "hours"),
    [
        ("Europe/Berlin", "2026-03-29 10:00", 23),  # clocks go forward in the night
        ("Europe/Berlin", "2026-10-25 10:00", 25),
        ("Europe/Berlin", "2026-06-01 10:00", 24),
        ("America/Sao_Paulo", "2018-11-04 12:00", 23),  # midnight itself is left out
        ("America/Havana", "2026-11-01 12:00", 25),  # midnight comes twice
        ("Asia/Kathmandu", "2026-06-01 10:00", 24),
        ("UTC", "2026-03-29 10:00", 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(zone: str, now: str, hours: int) -> None:
    """A day begins at its first midnight and ends at that of the next, across changes of the clocks."""
    span = span_at("day", ZoneInfo(zone), at(now))
    assert span.ends - span.starts == hours * HOUR


def test_a_month_begins_where_its_zone_is() -> None:
    """A month of Berlin begins and ends at midnight in Berlin: in winter time here, in summer time there."""
    span = span_at("month", ZoneInfo("Europe/Berlin"), at("2026-03-15 00:00"))
    assert (span.starts, span.ends) == (at("2026-02-28 23:00"), at("2026-03-31 22:00"))


def test_a_december_is_followed_by_a_january() -> None:
    """The last month of a year ends with the year."""
    assert span_at("month", ZoneInfo("UTC"), at("2026-12-31 23:59")).ends == at("2027-01-01 00:00")


def test_a_day_that_never_was_does_not_matter() -> None:
    """Samoa went from 29 to 31 December 2011: one window ends where the other begins."""
    before = span_at("day", ZoneInfo("Pacific/Apia"), at("2011-12-30 09:59"))
    after = span_at("day", ZoneInfo("Pacific/Apia"), at("2011-12-30 10:00"))
    assert before.ends == after.starts == at("2011-12-30 10:00")


@given(
    st.sampled_from(["Europe/Berlin", "America/Havana", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from(["day", "month"]),
    st.integers(0, 2_000_000_000),
)
def test_every_moment_is_in_exactly_one_window(zone: str, unit: Unit, now: int) -> None:
    """Windows contain the moment that they are of, and the next one begins where this one ends."""
    span = span_at(unit, ZoneInfo(zone), now)
    assert span.starts <= now < span.ends
    assert span_at(unit, ZoneInfo(zone), span.ends).starts == span.ends
    assert span_at(unit, ZoneInfo(zone), span.ends - 1) == span
