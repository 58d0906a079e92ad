"""Numbers of alerts, and of how they reach people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gateway.families import Family, counter, gauge
from gateway.monitor.alerts.runner import Alerting
from gateway.monitor.alerts.states import State

_SHOWN = (State.PENDING, State.FIRING)


def alert_metrics(alerting: Alerting) -> Iterator[Family]:
    """A label for each sender and each state: there are no others."""
    states = Counter(alert.state for alert in alerting.board.alerts.values())
    help = "Alerts by state, `pending` or `firing`; gateway alerts list has each."
    yield gauge("gateway_alerts", help, {(state.value,): states[state] for state in _SHOWN}, ("state",), "max")
    deliveries = [receiver.delivery for receiver in alerting.receivers.values()]
    results = {
        (each.name, result): number
        for each in deliveries
        for result, number in (("sent", each.sent), ("failed", each.failures), ("dropped", each.dropped))
    }
    help = "Messages to a sender that were `sent`, tries that `failed`, and messages that were `dropped`."
    yield counter("gateway_alert_messages_total", help, results, ("sender", "result"))
    help = "Messages that wait to be sent. Where they stay, /health says why."
    yield gauge(
        "gateway_alert_messages_waiting", help, {(each.name,): each.waiting for each in deliveries}, ("sender",)
    )
