"""All alerts that there are, look by look."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from typing import Final

from gateway.monitor.alerts.conditions import Verdict
from gateway.monitor.alerts.rules import Rule
from gateway.monitor.alerts.sight import Sight
from gateway.monitor.alerts.states import Alert, Key, State, look

MOST: Final = 1000  # alerts of one rule that are pending or firing, and as many that are over; others are counted
GRACE: Final = 60.0  # seconds after a restart, at least, in which nothing is over because it is not seen yet


class Board:
    """Which alerts are pending, firing, or were so lately. For one look at a time."""

    def __init__(self) -> None:
        self.alerts: dict[Key, Alert] = {}
        self.left_out: Mapping[str, int] = {}  # by rule: how many more there would be
        self._restored: frozenset[Key] = frozenset()
        self._restored_at = float("-inf")

    def restore(self, alerts: Iterable[Alert], now: float) -> None:
        """Go on with what there was before a restart."""
        self.alerts = {alert.key: alert for alert in alerts}
        self._restored, self._restored_at = frozenset(self.alerts), now

    def firing(self) -> list[Alert]:
        """Those that are, the oldest first."""
        found = [alert for alert in self.alerts.values() if alert.state is State.FIRING]
        return sorted(found, key=lambda alert: (alert.since, alert.key))

    def look(self, rules: Mapping[str, Rule], sight: Sight, now: float) -> Generator[None, None, None]:
        """Look at everything once, in small steps. What is new stands when the last one is done."""
        known: dict[str, dict[Key, Alert]] = {}
        for key, alert in self.alerts.items():
            known.setdefault(key.rule, {})[key] = alert
        alerts: dict[Key, Alert] = {}
        left_out: dict[str, int] = {}
        for rule in rules.values():
            patient = now - self._restored_at < max(GRACE, rule.condition.seconds)
            spared = self._restored if patient else frozenset[Key]()
            of_rule = _OfRule(rule, known.pop(rule.name, {}), spared, now)
            for verdict in rule.condition.verdicts(sight, now):
                of_rule.take(verdict)
                yield
            alerts |= of_rule.all()
            if of_rule.left_out:
                left_out[rule.name] = of_rule.left_out
        for of_removed in known.values():
            for key, alert in of_removed.items():
                # An alert whose rule was removed.
                if alert.state is State.FIRING:
                    over = replace(alert, state=State.RESOLVED, ended=now, away_since=None, says="the rule was removed")
                else:
                    over = replace(alert, state=State.INACTIVE) if alert.state is State.PENDING else alert
                if not over.forgotten(now):
                    alerts[key] = over
        self.alerts, self.left_out = alerts, left_out


class _OfRule:
    """One look at one rule. What is `spared` is not over because it is not seen."""

    def __init__(self, rule: Rule, known: Mapping[Key, Alert], spared: frozenset[Key], now: float) -> None:
        self._rule = rule
        self._known = known
        self._now = now
        self._room = MOST - sum(alert.state is not State.RESOLVED for alert in known.values())
        self._spared = spared
        self._seen: dict[Key, Alert] = {}
        self.left_out = 0

    def take(self, verdict: Verdict) -> None:
        """The condition's result for one subject. Of two that are the same alert, the first counts."""
        rule = self._rule
        severity = rule.severity if rule.fixed_severity or not verdict.severity else verdict.severity
        key = Key(rule.name, severity, *verdict.subject)
        if not verdict.holds or key in self._seen:
            return
        former = self._known.get(key)
        if former is None or former.state is State.RESOLVED:
            if self._room <= 0:
                self.left_out += 1
                return
            self._room -= 1
        self._seen[key] = look(former or Alert(key), verdict, rule.lasting, self._now)

    def all(self) -> dict[Key, Alert]:
        """Its alerts after the look."""
        alerts = dict(self._seen)
        over = []
        for key, alert in self._known.items():
            if key not in self._seen:
                unseen = alert if key in self._spared else look(alert, None, self._rule.lasting, self._now)
                if unseen.state is State.RESOLVED:
                    over.append(unseen)
                else:
                    alerts[key] = unseen
        over.sort(key=lambda alert: alert.ended)
        alerts |= {alert.key: alert for alert in over[-MOST:]}
        return {key: alert for key, alert in alerts.items() if not alert.forgotten(self._now)}
