"""What is not sent for a while."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from gateway.monitor.alerts.silences import MOST, Silences, SilencesFull, from_fields
from gateway.monitor.alerts.states import Key

KEY = Key("errors", "page", "route", "orders")


@pytest.mark.parametrize(
    ("rule", "subject", "severity", "matches"),
    [
        ("*", "*", "*", True),
        ("errors", "*", "*", True),
        ("err*", "orders", "page", True),
        ("*", "route orders", "*", True),
        ("*", "route *", "*", True),
        ("slow", "*", "*", False),
        ("*", "users", "*", False),
        ("*", "upstream orders", "*", False),
        ("*", "*", "ticket", False),
    ],
)
def test_it_is_about_what_fits_all_patterns(rule: str, subject: str, severity: str, *, matches: bool) -> None:
    """The subject is its name, or its kind and its name."""
    silences = Silences()
    silences.add(rule, subject, severity, 200.0, 100.0, "", "")
    assert (silences.silencing(KEY, 150.0) is not None) == matches


def test_it_ends_by_itself_or_when_it_is_lifted() -> None:
    """It holds up to its end, not at it."""
    silences = Silences()
    one, two = silences.add("*", "*", "*", 200.0, 100.0, "", ""), silences.add("*", "*", "*", 300.0, 100.0, "", "")
    assert [each.id for each in silences.holding(199.0)] == [one.id, two.id]
    assert [each.id for each in silences.holding(200.0)] == [two.id]
    assert silences.lift(two.id, 250.0) is not None
    assert silences.lift(two.id, 251.0) is None
    assert silences.silencing(KEY, 250.0) is None
    silences.forget(10_000.0)
    assert silences.all() == []


def test_the_later_change_counts_wherever_it_was_made() -> None:
    """One that was lifted here is not brought back by a gateway that has not heard of it."""
    here, there = Silences(), Silences()
    made = here.add("*", "*", "*", 1000.0, 100.0, "deploying", "ops")
    there.hear([made])
    assert there.silencing(KEY, 150.0) == made
    here.lift(made.id, 200.0)
    here.hear(there.all())
    assert here.silencing(KEY, 250.0) is None
    there.hear(here.all())
    assert there.silencing(KEY, 250.0) is None


def test_there_are_not_more_than_so_many() -> None:
    """The next one is refused, until others have ended."""
    silences = Silences()
    for _ in range(MOST):
        silences.add("*", "*", "*", 200.0, 100.0, "", "")
    with pytest.raises(SilencesFull):
        silences.add("*", "*", "*", 200.0, 100.0, "", "")
    silences.add("*", "*", "*", 400.0, 300.0, "", "")


@pytest.mark.parametrize("change", [{"id": 7}, {"until": "soon"}, {"rule": "x" * 501}, {"more": 1}, {"until": 1e300}])
def test_what_is_none_is_refused(change: dict[str, object]) -> None:
    """What comes of a file or of Redis may be anything."""
    made = Silences().add("*", "*", "*", 200.0, 100.0, "", "")
    assert from_fields(asdict(made)) == made
    with pytest.raises(ValueError, match=r"."):
        from_fields(asdict(made) | change)
