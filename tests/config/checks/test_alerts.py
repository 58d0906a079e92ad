from __future__ import annotations

import pytest

from gateway.config.checks.alerts import warnings
from tests.config.support import parsed


def _warned(middleware: str) -> list[str]:
    return [f"{'.'.join(map(str, each.path))}: {each.message}" for each in warnings(parsed(middleware=middleware))]


HOOK = "hook: {webhook: 'https://ops.example/'"


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ("", None),
        (f"send: {{{HOOK}}}}}", "alerts.send.hook: there is nothing to send"),
        ("rules: {a: {when: 'errors > 1'}}", "alerts: no alert is sent"),
        (f"rules: {{a: {{when: 'errors > 1'}}}}, send: {{{HOOK}}}}}", None),
        (f"rules: {{a: {{when: 'errors > 1'}}}}, send: {{{HOOK}, severities: [page]}}}}", "alerts.rules.a: no sender"),
        (f"builtin: [quota_80], send: {{{HOOK}, severities: [info]}}}}", None),
        (f"builtin: [log_loss, quota_80], send: {{{HOOK}, severities: [page]}}}}", "alerts.builtin.1: no sender takes"),
        (
            f"rules: {{a: {{when: 'errors > 1'}}}}, send: {{m: {{slack: 'https://a'}}, {HOOK}, severities: [page]}}}}",
            "alerts.send.hook.severities: no rule has such a severity, so that it is sent nothing; there are ticket",
        ),
        (
            f"rules: {{a: {{when: 'errors > 1', over: 90s}}}}, send: {{{HOOK}}}}}",
            "alerts.rules.a.over: the monitor has windows of 10s, 1m, 5m and 1h, so that 5m is looked at",
        ),
        (
            f"rules: {{a: {{when: 'error_rate > 5% and error_rate < 2%'}}}}, send: {{{HOOK}}}}}",
            "alerts.rules.a.when: no error_rate is ever like that",
        ),
        (f"rules: {{a: {{when: 'error_rate > 2% and error_rate < 5%'}}}}, send: {{{HOOK}}}}}", None),
        (f"rules: {{a: {{when: 'errors >= 5 and errors <= 5'}}}}, send: {{{HOOK}}}}}", None),
        (f"rules: {{a: {{when: 'errors < 0'}}}}, send: {{{HOOK}}}}}", "alerts.rules.a.when: no errors is ever like"),
        (f"rules: {{a: {{when: 'error_rate > 100%'}}}}, send: {{{HOOK}}}}}", "alerts.rules.a.when: no error_rate is"),
        (
            f"rules: {{a: {{objective: 99%, good: 'status < 200 and status > 500'}}}}, send: {{{HOOK}}}}}",
            "alerts.rules.a.good: no status is ever like that",
        ),
        (
            "builtin: [log_loss], send: {hook: {webhook: 'http://ops.example/'}}",
            "alerts.send.hook.webhook: it goes over the network unencrypted",
        ),
        ("builtin: [log_loss], send: {hook: {webhook: 'http://127.0.0.1/'}}", None),
        (
            "builtin: [log_loss], send: {hook: {webhook: 'https://h/', secret: short}}",
            "alerts.send.hook.secret: a secret of less than 16 characters can be guessed",
        ),
    ],
)
def test_alerts_without_a_receiver_or_with_settings_without_effect(alerts: str, expected: str | None) -> None:
    """Rules that no sender takes, senders that no rule reaches, and windows that there are not are warned of."""
    found = _warned(f"alerts: {{{alerts}}}")
    if expected is None:
        assert found == []
    else:
        assert any(each.startswith(expected) for each in found)
