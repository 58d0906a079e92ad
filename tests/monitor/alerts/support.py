"""Alerts on a clock that tests turn, over figures that they set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from gateway.algorithms.burn_rate import Counted
from gateway.config.models.alerts import Alerts
from gateway.events import ApiAlert
from gateway.monitor.alerts.board import Board
from gateway.monitor.alerts.rules import Rule, compiled
from gateway.monitor.alerts.sight import Finding, Subject
from gateway.monitor.alerts.states import Alert, State

PASS = 10.0


@dataclass(frozen=True)
class Figures:
    requests: int = 0
    errors: int = 0
    throughput: float = 0.0
    error_rate: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    p999: float = 0.0


@dataclass
class Scene:
    """What there is to see, and the time."""

    now: float = 1_800_000_000.0
    since: float = 0.0
    seen: dict[Subject, Figures] = field(default_factory=dict)
    known: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    goods: dict[tuple[str, str, int], Counted] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)
    asked: list[tuple[Subject, float]] = field(default_factory=list)

    def subjects(self, kind: str) -> Iterable[str]:
        return [*self.known[kind], *(subject.name for subject in self.seen if subject.kind == kind)]

    def figures(self, subject: Subject, seconds: float, now: float) -> Figures:
        self.asked.append((subject, seconds))
        return self.seen.get(subject, Figures())

    def counts(self, subject: Subject, seconds: float, now: float) -> tuple[int, int]:
        figures = self.figures(subject, seconds, now)
        return figures.requests, figures.errors

    def good(self, rule: str, name: str, seconds: int, now: float) -> Counted:
        return self.goods.get((rule, name, seconds), Counted(0, 0))

    def findings(self, builtin: str) -> Iterable[Finding]:
        return [each for each in self.found if each.builtin == builtin]


class Watch:
    """Rules over a scene, looked at every ten seconds of its clock."""

    def __init__(self, text: str, scene: Scene | None = None) -> None:
        self.scene = scene or Scene()
        self.board = Board()
        self.rules: Mapping[str, Rule] = {}
        self.configure(text)

    def configure(self, text: str) -> None:
        self.rules = compiled(alerts(text), self.rules)

    def look(self, seconds: float = PASS) -> None:
        """Let so much time pass, with a look every ten seconds and one at its end."""
        end = self.scene.now + seconds
        while self.scene.now < end:
            self.scene.now = min(end, self.scene.now + PASS)
            for _ in self.board.look(self.rules, self.scene, self.scene.now):
                pass

    def states(self) -> dict[str, State]:
        """By the names of the subjects, or of the rule where it is about all."""
        return {alert.key.name or alert.key.rule: alert.state for alert in self.board.alerts.values()}

    def only(self) -> Alert:
        (alert,) = self.board.alerts.values()
        return alert


def alerts(text: str) -> Alerts:
    """The section `alerts`, as YAML."""
    loaded: Any = yaml.safe_load(text)
    return Alerts.model_validate(loaded)


def route(name: str) -> Subject:
    return Subject("route", name)


ALL = Subject("all")


def message(
    alert: str,
    subject: str,
    *,
    state: Literal["firing", "resolved"] = "firing",
    summary: str = "error rate 12% (> 5%) of 300 requests in 1m",
    until: str | None = None,
    runbook: str | None = None,
) -> ApiAlert:
    """One that has fired at eight."""
    since = "2026-11-26T08:00:00Z"
    return ApiAlert(
        alert=alert,
        state=state,
        severity="page",
        subject=subject,
        summary=summary,
        since=since,
        until=until,
        runbook=runbook,
    )
