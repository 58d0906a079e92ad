from __future__ import annotations

import pytest

from tests.config.support import ROUTE, errors, parsed

SAMPLE = """\
alerts:
  rules:
    errors:  {when: "error_rate > 5%", over: 1m, for: 2m, by: route, minimum: 50, severity: page}
    slow:    {when: "p99 > 800ms", over: 5m, by: upstream}
    slo:     {objective: 99.9%, good: "status < 500 and duration < 500ms", routes: [orders]}    # burn rates 14.4, 6, 1
    odd:     {anomaly: throughput, by: route}                                                   # median and MAD, 3.5
    silence: {absent: requests, for: 10m, routes: [orders]}
  builtin: [breaker_open, endpoint_ejected, source_stale, quota_80, quota_100, certificate_expiring, key_expiring, reload_refused, log_loss]
  send:
    ops:   {slack: "${SLACK_WEBHOOK}", severities: [page], summary: daily at 09:00}
    hook:  {webhook: https://ops.example/alerts, secret: "${HOOK_SECRET}"}
    am:    {alertmanager: http://127.0.0.1:9093}
    mail:  {smtp: smtp://mail.example:587, to: [ops@example.com]}
"""  # noqa: E501
ENVIRONMENT = {"SLACK_WEBHOOK": "https://hooks.slack.com/services/T/B/xyz", "HOOK_SECRET": "0123456789"}
ORDERS = "routes: [{id: orders, path: /orders, target: 'b:80'}]"


def test_the_sample_is_taken_as_it_is_written() -> None:
    """All kinds of rules, all builtins and all kinds of senders load."""
    alerts = parsed(ORDERS, middleware=SAMPLE, environment=ENVIRONMENT).middleware.alerts
    assert [rule.kind for rule in alerts.rules.values()] == ["when", "when", "objective", "anomaly", "absent"]
    assert [rule.subjects for rule in alerts.rules.values()] == ["route", "upstream", "route", "route", "route"]
    assert alerts.rules["errors"].over == 60.0
    assert alerts.rules["errors"].for_ == 120.0
    assert len(alerts.builtin) == 9
    assert [sender.kind for sender in alerts.send.values()] == ["slack", "webhook", "alertmanager", "smtp"]
    assert alerts.send["ops"].url == ENVIRONMENT["SLACK_WEBHOOK"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{}", "exactly one of when, objective, anomaly, absent is needed"),
        ("{when: 'errors > 1', absent: requests}", "exactly one of when, objective, anomaly, absent is needed, not 2"),
        ("{when: 'error_rate > 5'}", "error_rate is compared with a value such as 5%, with its unit"),
        ("{when: 'p99 > 800'}", "p99 is compared with a value such as 800ms, with its unit"),
        ("{when: 'p98 > 800ms'}", "unknown name; expected one of error_rate, p50,"),
        ("{when: 'error_rat > 5%'}", 'did you mean "error_rate"?'),
        ("{when: 'error_rate = 5%'}", "expected a comparison such as error_rate > 5%"),
        ("{when: 'errors > 1 or errors < 0'}", "expected a comparison"),
        ("{when: ''}", "expected a comparison"),
        ("{objective: 99.9%}", "objective needs good"),
        ("{objective: 100%, good: 'status < 500'}", "more than 0% and less than 100%"),
        ("{objective: 99%, good: 'state < 500'}", "expected one of status, duration"),
        ("{objective: 99%, good: 'status < 500', over: 5m}", "over has no meaning with objective"),
        ("{absent: requests}", "absent needs for"),
        ("{absent: requests, for: 10m, by: tenant}", "absent is by: route, upstream or all"),
        ("{when: 'p99 > 1s', by: tenant}", "durations are not kept by tenant"),
        ("{when: 'errors > 1', by: upstream, routes: [r]}", "routes is for by: route"),
        ("{when: 'errors > 1', over: 2h}", "3600"),
        ("{when: 'errors > 1', severity: Page}", "a severity is a word of small letters"),
        ("{when: 'errors > 1', routes: [order]}", "no route has this id"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: str, message: str) -> None:
    """Each error says what is expected in its place."""
    (line,) = errors(ROUTE, middleware=f"alerts: {{rules: {{r: {rule}}}}}")
    assert line.startswith("middleware.yaml:1:")
    assert message in line


@pytest.mark.parametrize(
    ("sender", "message"),
    [
        ("{}", "exactly one of slack, webhook, alertmanager, smtp is needed"),
        ("{slack: hooks.slack.com/x}", "expected a URL that begins with https:// or http://"),
        ("{smtp: 'http://mail'}", "expected a URL that begins with smtp:// or smtps://"),
        ("{smtp: 'smtp://mail'}", "smtp needs to"),
        ("{smtp: 'smtp://mail', to: [ops]}", "expected an address: ops@example.com"),
        ("{webhook: 'https://h/', to: [ops@example.com]}", "to has no meaning with webhook"),
        ("{webhook: 'https://h/', secret: ''}", "the secret is empty"),
        ("{alertmanager: 'http://a', summary: daily at 09:00}", "summary has no meaning with alertmanager"),
        ("{slack: 'https://h/', summary: at 09:00}", "expected daily at 09:00"),
        ("{slack: 'https://h/', summary: daily at 24:00}", "expected daily at 09:00"),
        ("{slack: 'https://h/', summary: daily at 09:00 Mars/North}", "unknown time zone"),
    ],
)
def test_a_sender_that_cannot_be_meant_is_refused(sender: str, message: str) -> None:
    """Each error says what is expected in its place, and never repeats a URL, which may be a secret."""
    (line,) = errors(ROUTE, middleware=f"alerts: {{send: {{s: {sender}}}}}")
    assert message in line
    assert "hooks.slack.com/x" not in line


def test_a_rule_may_not_have_the_name_of_a_builtin_that_is_on() -> None:
    """Alerts are identified by the names of their rules."""
    (line,) = errors(ROUTE, middleware="alerts: {rules: {log_loss: {when: 'errors > 1'}}, builtin: [log_loss]}")
    assert "rename the rule" in line


def test_a_rule_may_name_a_group_of_routes() -> None:
    """As every rule of middleware.yaml may."""
    routes = "groups: [{id: shop, routes: [{id: orders, path: /orders, target: 'b:80'}]}]"
    middleware = "alerts: {rules: {r: {when: 'errors > 1', routes: [shop]}}}"
    rule = parsed(routes, middleware=middleware).middleware.alerts.rules["r"]
    assert rule.applies_to("orders")
