from __future__ import annotations

import pytest

from gateway.config.checks import WARNINGS, run
from tests.config.support import errors, parsed


def warnings(services: str, middleware: str = "") -> list[str]:
    routes = f"services: {{{services}}}\nroutes: [{{path: /x, target: a}}, {{path: /y, target: b}}]"
    configuration = parsed(routes, middleware=middleware)
    found = [str(problem) for problem in run(WARNINGS, configuration, "warning")]
    return [line for line in found if "services." in line]


OTHER = "b: {endpoints: ['127.0.0.1:2']}"
STICKY = "{balance: {sticky: {cookie: gw}}, endpoints: ['127.0.0.1:1']}"
TWICE = "{endpoints: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:1']}"
ZONED = "{endpoints: [{address: '127.0.0.1:1', zone: x}]}"
DRAINED = "{endpoints: [{address: '127.0.0.1:1', weight: 0}]}"
HASHED = "balance: {consistent_hash: {client: true}}, endpoints: [{address: '127.0.0.1:1', zone: x}]"


@pytest.mark.parametrize(
    ("services", "middleware", "said"),
    [
        (f"a: {STICKY}, b: {STICKY}", "", ["a has this cookie, too"]),
        (f"a: {STICKY}, {OTHER}", "", []),
        (
            f"a: {{endpoints: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:1']}}, {OTHER}",
            "",
            ["one endpoint, whose weights"],
        ),
        (f"a: {ZONED}, {OTHER}", "", ["without zones.own in middleware.yaml; add that"]),
        (f"a: {ZONED}, {OTHER}", "zones: {own: x}", []),
        (f"a: {DRAINED}, {OTHER}", "", ["all have weight 0"]),
        (f"a: {{{HASHED}, slow_start: 5s}}, {OTHER}", "zones: {own: x}", ["no effect", "with consistent_hash"]),
    ],
)
def test_what_has_no_effect_is_said(services: str, middleware: str, said: list[str]) -> None:
    """A cookie of two services, zones without an own one, what hashing passes over, and services without a share."""
    found = warnings(services, middleware)
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("balance", "said"),
    [
        ("sticky", "or {sticky: {cookie: NAME}} (got"),
        ("maglev", "{consistent_hash: {header: NAME}} or"),
        ("least_requests", 'did you mean "least_request"?'),
    ],
)
def test_a_balancer_that_does_not_exist(balance: str, said: str) -> None:
    """All forms are named, with the likely one."""
    (error,) = errors(f"services: {{s: {{endpoints: ['b:1'], balance: {balance}}}}}\nroutes: [{{path: /, target: s}}]")
    assert "services.s.balance: expected least_request" in error
    assert said in error
