"""The summary of a day."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.monitor.alerts.summary import Day, Incident, Totals, due, is_due, summary


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("daily", "now", "expected"),
    [
        ("daily at 09:00", "2026-11-26T09:00:00", "2026-11-26T09:00:00"),
        ("daily at 09:00", "2026-11-26T08:59:59", "2026-11-25T09:00:00"),
        ("daily at 09:00 Europe/Berlin", "2026-11-26T08:00:00", "2026-11-26T08:00:00"),
        ("daily at 09:00 Europe/Berlin", "2026-07-26T07:00:00", "2026-07-26T07:00:00"),
        ("daily at 23:30 America/New_York", "2026-11-26T04:00:00", "2026-11-25T04:30:00"),
        ("daily at 02:30 Europe/Berlin", "2026-03-29T12:00:00", "2026-03-29T01:30:00"),
    ],
)
def test_it_is_due_at_the_time_of_the_day(daily: str, now: str, expected: str) -> None:
    """In UTC, or in the time zone that is named, in summer and in winter."""
    assert due(daily, at(now)) == at(expected)


def test_it_is_sent_once_and_not_late() -> None:
    """Once it was sent it is not due until the next day; one that was missed by more than an hour is left out."""
    nine, sent = at("2026-11-26T09:00:00"), at("2026-11-25T09:00:05")
    assert not is_due("daily at 09:00", sent, nine - 1)
    assert is_due("daily at 09:00", sent, nine)
    assert is_due("daily at 09:00", sent, nine + 3599)
    assert not is_due("daily at 09:00", sent, nine + 3600)
    assert not is_due("daily at 09:00", nine + 5, nine + 10)
    assert not is_due("daily at 09:00", nine + 10, nine + 20), "a gateway that began after it"


def test_it_says_how_the_day_went() -> None:
    """Requests, error rate, p99, the worst routes, and what was sent."""
    day = Day(
        86400,
        Totals(12_000, 120, 0.345),
        [("orders", Totals(1000, 100, 0.9)), ("users", Totals(10_000, 20, 0.1)), ("rare", Totals(2, 2, 9.0))],
    )
    now = at("2026-11-26T09:00:00")
    incidents = [
        Incident("errors (page): route orders", now - 7200, now - 6900),
        Incident("slow (ticket): all", now - 60, None),
    ]
    notice = summary(day, incidents, "https://g/#alerts", now)
    sections = dict(notice.sections)
    assert notice.title == "Health of the last 24h: 12,000 requests, error rate 1%, 2 incidents"
    assert sections["All requests"] == ("requests: 12,000", "error rate: 1% (120)", "p99: 345ms")
    assert sections["Worst routes by errors"][0] == "orders: 10% errors, p99 900ms, 1,000 requests"
    assert len(sections["Worst routes by errors"]) == 2
    assert sections["Incidents"] == (
        "errors (page): route orders, since 2026-11-26T07:00:00Z for 5m, over",
        "slow (ticket): all, since 2026-11-26T08:59:00Z for 1m, still firing",
    )


def test_a_day_without_anything_says_so() -> None:
    """A day without incidents is reported, too; and what is not known is left out."""
    notice = summary(None, [], None, 0.0)
    assert notice.title == "Health of the last 24h: no incident"
    assert notice.sections == (("Incidents", ("none",)),)
