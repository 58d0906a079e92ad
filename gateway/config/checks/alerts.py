"""Alerts without a receiver, and settings of alerts without effect."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from itertools import pairwise
from math import inf
from urllib.parse import urlsplit

from gateway.config.models import Configuration
from gateway.config.models.alerts import FIGURES, OF_REQUESTS, WINDOWS, Alerts, severity_of_builtin, window_of
from gateway.config.problems import Fault
from gateway.config.values.comparisons import SHARE, Comparison, parse_comparisons

FEW = 16  # characters


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Probable mistakes."""
    alerts = configuration.middleware.alerts
    if not configuration.middleware.monitor.enabled and alerts.rules:
        message = "monitor.enabled is false, so that no figures are there to look at; switch it on, or remove the rules"
        yield Fault(("alerts", "rules"), message, show_value=False)
    for name, rule in alerts.rules.items():
        if rule.over is not None and rule.over not in WINDOWS:
            taken = {10.0: "10s", 60.0: "1m", 300.0: "5m", 3600.0: "1h"}[window_of(rule.over)]
            message = f"the monitor has windows of 10s, 1m, 5m and 1h, so that {taken} is looked at; write {taken}"
            yield Fault(("alerts", "rules", name, "over"), message)
    yield from _never(alerts)
    for name, sender in alerts.send.items():
        parts = urlsplit(sender.url)
        if parts.scheme == "http" and sender.kind != "alertmanager" and not is_here(parts.hostname or ""):
            yield Fault(("alerts", "send", name, sender.kind), "it goes over the network unencrypted; use https")
    for name, sender in alerts.send.items():
        if sender.secret is not None and len(sender.secret.get_secret_value()) < FEW:
            message = f"a secret of less than {FEW} characters can be guessed; make one with openssl rand -hex 32"
            yield Fault(("alerts", "send", name, "secret"), message, show_value=False)
    if not alerts.send and (alerts.rules or alerts.builtin):
        yield Fault(("alerts",), "no alert is sent, and gateway alerts list shows them only; name senders in send")
        return
    yield from _unheard(alerts)
    there = {severity for rule in alerts.rules.values() for severity in rule.severities}
    there.update(map(severity_of_builtin, alerts.builtin))
    for name, sender in alerts.send.items():
        if sender.severities is not None and there.isdisjoint(sender.severities):
            message = "no rule has such a severity, so that it is sent nothing" + (
                " but the summary" if sender.summary else ""
            )
            known = f"; there are {', '.join(sorted(there))}" if there else "; add rules, or builtin"
            yield Fault(("alerts", "send", name, "severities"), message + known)
        elif not there and sender.summary is None:
            yield Fault(("alerts", "send", name), "there is nothing to send; add rules, or builtin", show_value=False)


def _never(alerts: Alerts) -> Iterator[Fault]:
    """Comparisons of one figure that no value fulfils."""
    for name, rule in alerts.rules.items():
        for key, text, units in (("when", rule.when, FIGURES), ("good", rule.good, OF_REQUESTS)):
            comparisons = () if text is None else parse_comparisons(text, units, "")
            for figure in dict.fromkeys(each.name for each in comparisons):
                of_it = [each for each in comparisons if each.name == figure]
                if not _can_hold(of_it, 1.0 if units[figure] is SHARE else inf):
                    message = f"no {figure} is ever like that, so that this never holds; correct it"
                    yield Fault(("alerts", "rules", name, key), message)


def _can_hold(comparisons: Sequence[Comparison], most: float) -> bool:
    """Whether any value from 0 to `most` fulfils all of them: one at a bound of theirs, or between two bounds."""
    bounds = sorted({0.0, most, *(each.value for each in comparisons)})
    between = [low + 1 if high == inf else (low + high) / 2 for low, high in pairwise(bounds)]
    values = [value for value in (*bounds, *between) if value <= most]
    return any(all(each.holds(value) for each in comparisons) for value in values)


def _unheard(alerts: Alerts) -> Iterator[Fault]:
    """Rules and builtins that no sender takes."""
    senders = alerts.send.values()
    for name, rule in alerts.rules.items():
        for severity in rule.severities:
            if not any(sender.takes(severity) for sender in senders):
                message = f"no sender takes alerts of severity {severity}; add it to the severities of one"
                yield Fault(("alerts", "rules", name), message, show_value=False)
    for index, builtin in enumerate(alerts.builtin):
        severity = severity_of_builtin(builtin)
        if not any(sender.takes(severity) for sender in senders):
            message = (
                f"no sender takes alerts of severity {severity}, which this one has; add it to the severities of one"
            )
            yield Fault(("alerts", "builtin", index), message)


def is_here(host: str) -> bool:
    """Whether this name or address is that of this machine, whatever a name service says."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
