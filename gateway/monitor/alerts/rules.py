"""Makes rules from `alerts` in middleware.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.config.models.alerts import (
    FIGURES,
    PERCENTILES,
    SEVERITY,
    WINDOWS,
    AlertRule,
    Alerts,
    severity_of_builtin,
    window_of,
)
from gateway.config.values.comparisons import parse_comparisons
from gateway.monitor.alerts.conditions import Absent, Anomaly, Applies, BurnRate, Condition, Known, Threshold

WHEN_SECONDS: Final = 300.0
ANOMALY_SECONDS: Final = 60.0
ABSENT_SECONDS: Final = 60.0
MINIMUM_OF_OBJECTIVE: Final = 100


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, compiled. What its condition remembers goes on in the next configuration that has the same rule."""

    name: str
    severity: str  # of what its condition gives none of its own
    fixed_severity: bool  # whether what the condition says of it does not count
    lasting: float  # seconds for which it must hold
    runbook: str | None
    condition: Condition
    config: AlertRule | None  # None: a builtin


def compiled(alerts: Alerts, former: Mapping[str, Rule]) -> dict[str, Rule]:
    """The rules by name."""
    return {rule.name: rule for rule in (*_rules(alerts, former), *map(_builtin, alerts.builtin))}


def _rules(alerts: Alerts, former: Mapping[str, Rule]) -> Iterator[Rule]:
    for name, config in alerts.rules.items():
        before = former.get(name)
        if before is not None and before.config == config:
            yield before
        else:
            severity = config.severity or SEVERITY
            fixed = config.severity is not None
            lasting, runbook = config.for_, config.runbook
            yield Rule(name, severity, fixed, lasting, runbook, _condition(name, config), config)


def _builtin(name: str) -> Rule:
    return Rule(name, severity_of_builtin(name), True, 0.0, None, Known(name), None)


def _condition(name: str, config: AlertRule) -> Condition:
    kind = config.subjects
    applies: Applies = config.applies_to if kind == "route" else _every
    if config.when is not None:
        comparisons = parse_comparisons(config.when, FIGURES, "")
        of_some = any(each.name in PERCENTILES or each.name == "error_rate" for each in comparisons)
        minimum = (1 if of_some else 0) if config.minimum is None else config.minimum
        return Threshold(comparisons, kind, applies, window_of(config.over or WHEN_SECONDS), minimum)
    if config.objective is not None:
        minimum = MINIMUM_OF_OBJECTIVE if config.minimum is None else config.minimum
        return BurnRate(name, config.objective / 100, kind, applies, minimum)
    if config.anomaly is not None:
        return Anomaly(kind, applies, window_of(config.over or ANOMALY_SECONDS))
    return Absent(kind, applies, ABSENT_SECONDS if config.for_ >= ABSENT_SECONDS else WINDOWS[0])


def _every(name: str) -> bool:
    return True
