"""Current problems and load: what the page receives every two seconds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.admin.failing_backends import failing_now
from gateway.admin.figures import last_minute
from gateway.admin.service_states import STATES, ServiceStates, State
from gateway.admin.top_consumers import TopConsumers
from gateway.algorithms.circuit_breaker import State as Breaking
from gateway.monitor.alerts.runner import Alerting
from gateway.monitor.alerts.states import Alert
from gateway.monitor.alerts.states import State as AlertState
from gateway.monitor.recent_requests import RecentRequests
from gateway.monitor.watch import Monitor
from gateway.reload import Reloader
from gateway.upstream.breaker import Breaker

PROBLEMS: Final = 50  # that are shown
SECONDS: Final = 5  # that each update covers: a client that reconnects misses none
_URGENT: Final = frozenset({"page", "critical"})  # severities
_HARMLESS: Final = frozenset({Breaking.CLOSED, Breaking.FORCED_CLOSED})
_REFUSING: Final = frozenset({Breaking.OPEN, Breaking.FORCED_OPEN})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong."""

    state: State
    view: str  # of the page, where there is more
    name: str  # what to look for there
    text: str

    def shown(self) -> Mapping[str, str]:
        """The problem as JSON."""
        return {"state": self.state, "view": self.view, "name": self.name, "text": self.text}


@dataclass(frozen=True, slots=True)
class Overview:
    """One gateway, at a glance."""

    reloader: Reloader
    recent: RecentRequests
    states: ServiceStates
    top_consumers: TopConsumers = field(default_factory=TopConsumers)

    async def __call__(self) -> Mapping[str, Any]:
        """The current overview."""
        report, counts = self.reloader.report(), Counter(each.state for each in (await self.states.now()).values())
        problems = sorted(self._problems(report), key=lambda each: -STATES.index(each.state))
        return {
            "configuration": {name: report[name] for name in ("digest", "loaded_at", "rolled_back", "errors")},
            "problems": [each.shown() for each in problems[:PROBLEMS]],
            "more_problems": max(0, len(problems) - PROBLEMS),
            "services": {state: counts[state] for state in STATES},
            "alerts": None if (alerting := self._alerting()) is None else sum(1 for _ in _firing(alerting)),
            "models": (current := self.reloader.current) is not None and current.money is not None,
            "requests": self.recent.number,
            "minute": last_minute(self.states.monitor, "all", ""),
            "seconds": self._seconds(),
            "consumers": [] if (monitor := self.states.monitor) is None else self._consumers(monitor),
        }

    def _consumers(self, monitor: Monitor) -> Sequence[tuple[str, float]]:
        return self.top_consumers.shown(monitor.consumers, time.monotonic())

    def _seconds(self) -> Sequence[tuple[int, float, float]]:
        """The last seconds: time, requests and errors of each."""
        if self.states.monitor is None:
            return []
        last = [*self.states.monitor.live][-SECONDS:]
        return [
            (int(each.at), each.requests / each.seconds, each.errors / each.seconds) for each in last if each.seconds
        ]

    def _alerting(self) -> Alerting | None:
        return next(self.reloader.owner.all(Alerting), None)

    def _problems(self, report: Mapping[str, Any]) -> Iterator[Problem]:
        if (alerting := self._alerting()) is not None:
            for alert in _firing(alerting):
                key = alert.key
                about = f"{key.kind} {key.name}".strip()
                state: State = "down" if key.severity in _URGENT else "degraded"
                yield Problem(state, "alerts", "", self.reloader.hidden(f"alert {key.rule}, {about}: {alert.says}"))
        if (ending := report.get("ending")) is not None:
            yield Problem("degraded", "configuration", "", ending)
        if report["digest"] is None:
            yield Problem("down", "configuration", "", "no configuration is loaded, so nothing is served")
        for error in report["errors"]:
            yield Problem("degraded", "configuration", "", f"the files are refused: {error}")
        for upstream, each in self.states.last.items():
            if each.reason is not None:
                yield Problem(each.state, "map", upstream.name, f"{upstream.name} is {each.state}: {each.reason}")
        for breaker in self.reloader.owner.all(Breaker):
            breaking = breaker.circuit.report(time.perf_counter())
            does = breaking.state
            if does not in _HARMLESS:
                text = f"the breaker of {breaker.route} for {breaker.target} is {does.replace('_', ' ')}"
                text += f": {breaking.reason}" if breaking.waiting else ""
                yield Problem("down" if does in _REFUSING else "degraded", "map", breaker.route, text)
        for text in (*report["failing"], *failing_now(self.reloader, self.recent, report["loaded_at"])):
            if ": circuit-open:" not in text:  # which is said above
                yield Problem("degraded", "map", "", text)


def _firing(alerting: Alerting) -> Iterator[Alert]:
    return (alert for alert in alerting.board.alerts.values() if alert.state is AlertState.FIRING)
