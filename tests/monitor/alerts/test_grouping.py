"""What a receiver is sent, and when."""

from __future__ import annotations

from gateway.monitor.alerts.grouping import Group, Notified, notifications_due
from gateway.monitor.alerts.states import Alert, Key, State

REPEAT = 4 * 3600.0


class Ear:
    """One receiver, and what there is to hear."""

    def __init__(self) -> None:
        self.notified: dict[Group, Notified] = {}
        self.known: dict[Key, Alert] = {}
        self.silenced: set[Key] = set()
        self.now = 1000.0

    def fire(self, *names: str, rule: str = "errors") -> None:
        for name in names:
            key = Key(rule, "page", "route", name)
            self.known[key] = Alert(key, State.FIRING, since=self.now, fired=(self.now,))

    def end(self, *names: str, rule: str = "errors") -> None:
        for name in names:
            key = Key(rule, "page", "route", name)
            self.known[key] = Alert(key, State.RESOLVED, ended=self.now)

    def hear(self, seconds: float = 10.0) -> list[tuple[str, list[str], list[str], bool]]:
        """After so much time: rule, what fires, what is over, and whether nothing is new."""
        self.now += seconds
        firing = [alert for alert in self.known.values() if alert.state is State.FIRING]
        found = notifications_due(self.notified, firing, self.known, self.silenced, REPEAT, self.now)
        return [
            (
                each.group.rule,
                [alert.key.name for alert in each.firing],
                [alert.key.name for alert in each.resolved],
                each.repeated,
            )
            for each in found
        ]


def test_alerts_of_one_rule_are_sent_together_and_once() -> None:
    """Two routes that fail are one message, and at the next look there is none."""
    ear = Ear()
    ear.fire("orders", "users")
    ear.fire("orders", rule="slow")
    assert ear.hear() == [("errors", ["orders", "users"], [], False), ("slow", ["orders"], [], False)]
    assert ear.hear() == []


def test_changes_of_a_group_are_sent_once_a_minute() -> None:
    """The first at once; what follows within a minute is one message at its end."""
    ear = Ear()
    ear.fire("orders")
    ear.hear()
    ear.fire("users")
    assert ear.hear() == []
    ear.fire("carts")
    ear.end("orders")
    assert ear.hear(40) == []
    assert ear.hear() == [("errors", ["users", "carts"], ["orders"], False)]


def test_an_alert_that_still_fires_is_sent_again_after_the_time() -> None:
    """Every four hours, as long as it fires."""
    ear = Ear()
    ear.fire("orders")
    ear.hear()
    assert ear.hear(REPEAT - 10) == []
    assert ear.hear() == [("errors", ["orders"], [], True)]
    assert ear.hear(REPEAT) == [("errors", ["orders"], [], True)]


def test_a_flapping_alert_is_not_sent_each_time() -> None:
    """Twenty changes in ten minutes are at most one message a minute."""
    ear, messages = Ear(), 0
    for _ in range(20):
        ear.fire("orders")
        messages += len(ear.hear(15))
        ear.end("orders")
        messages += len(ear.hear(15))
    assert messages <= 11


def test_a_silenced_alert_is_not_sent() -> None:
    """Neither that it fires nor that it is over; what fires when the silence ends is sent then."""
    ear = Ear()
    ear.fire("orders", "users")
    ear.silenced = {Key("errors", "page", "route", "orders")}
    assert ear.hear() == [("errors", ["users"], [], False)]
    ear.end("orders")
    assert ear.hear(100) == []
    ear.fire("orders")
    ear.silenced = set()
    assert ear.hear() == [("errors", ["orders", "users"], [], False)] or ear.hear() == []


def test_an_alert_that_is_silenced_later_is_not_sent_again() -> None:
    """A silence over what has been notified ends quietly where the alert does, and goes on where it does not."""
    ear = Ear()
    ear.fire("orders")
    ear.hear()
    ear.silenced = {Key("errors", "page", "route", "orders")}
    assert ear.hear(REPEAT) == []
    ear.end("orders")
    assert ear.hear(100) == []
    ear.silenced = set()
    assert ear.hear(100) == []
    ear.fire("orders")
    assert ear.hear(100) == [("errors", ["orders"], [], False)]


def test_an_alert_without_data_is_reported_as_resolved() -> None:
    """After a restart that lost it, or where its rule was removed, the receiver is not left with an open alert."""
    ear = Ear()
    ear.fire("orders")
    ear.hear()
    ear.known.clear()
    assert ear.hear(100) == [("errors", [], ["orders"], False)]
    ear.hear(100)
    assert ear.notified == {}
