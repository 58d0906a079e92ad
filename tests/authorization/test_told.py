"""What `gateway check` finds doubtful about who may call, and what `gateway explain` says of a request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.check import check
from tests.auth.support import key_hash
from tests.cli.support import gateway

KEY = "a-key-that-nobody-would-ever-guess"
AUTH = f"""
schemes:
  keys: {{api_key: {{query: api_key, header: X-API-Key}}}}
  ask: {{forward_auth: {{url: "http://127.0.0.1:9/verify"}}}}
  login: {{jwt: {{issuers: [{{issuer: i, audiences: [a], algorithms: [HS256], secret: {"s" * 40}}}]}}}}
consumers:
- name: acme
  tenant: acme-corp
  groups: [gold]
  scopes: ["orders:read"]
  keys: ["{key_hash(KEY)}"]
"""
ROUTES = """
- id: orders
  path: /orders/*
  target: 127.0.0.1:9
  auth: [keys]
  authorize:
  - scopes: ["orders:write"]
    methods: [POST]
  - groups: [gold]
    when: client in "127.0.0.0/8"
"""


def configured(directory: Path, routes: str, auth: str = AUTH) -> Path:
    """A configuration directory."""
    (directory / "routes.yaml").write_text(routes)
    (directory / "auth.yaml").write_text(auth)
    return directory


def doubts(directory: Path, routes: str, auth: str = AUTH) -> list[str]:
    """What check warns of."""
    return [str(problem) for problem in check(configured(directory, routes, auth), {})]


def test_the_route_that_nothing_protects_is_found(tmp_path: Path) -> None:
    """A route that was forgotten is told; one that is open on purpose is not, nor one with a list of addresses."""
    routes = "- path: /a\n  target: 127.0.0.1:9\n- path: /b\n  target: 127.0.0.1:9\n  auth: []\n"
    (found,) = doubts(tmp_path, routes)
    assert found.startswith('routes.yaml:1:3: routes[0]: nothing protects the route "a"')
    (tmp_path / "middleware.yaml").write_text("ip_allow: {office: {networks: [10.0.0.0/8]}}\n")
    assert doubts(tmp_path, routes) == []


def test_without_any_scheme_nothing_is_said(tmp_path: Path) -> None:
    """Whoever has no authentication at all is not reminded of it at each route."""
    assert doubts(tmp_path, "- path: /a\n  target: 127.0.0.1:9\n", "") == []


def test_what_nobody_has_is_found(tmp_path: Path) -> None:
    """A scope, group, tenant or consumer that no caller of the route can have is told with what was meant."""
    entry = '{scopes: ["orders:raed"], groups: [gold, god], tenants: [acme], consumers: [acme]}'
    route = f"- path: /a\n  target: 127.0.0.1:9\n  auth: [keys]\n  authorize: [{entry}]\n"
    assert [line.split(": ", 2)[2] for line in doubts(tmp_path, route)] == [
        'no consumer has the scope "orders:raed"; did you mean "orders:read"?',
        'no consumer has the group "god"; did you mean "gold"?',
        'no consumer has the tenant "acme"; did you mean "acme-corp"?',
    ]


def test_what_a_token_may_bring_is_not_doubted(tmp_path: Path) -> None:
    """Scopes and consumers of tokens are known to their issuer only; groups are, where a claim is named for them."""
    entry = "{scopes: [any], consumers: [somebody]}"
    route = f"- path: /a\n  target: 127.0.0.1:9\n  auth: [login, keys]\n  authorize: [{entry}, {{groups: [any]}}]\n"
    assert ["group" in line for line in doubts(tmp_path, route)] == [True]


def test_a_rule_for_callers_of_an_open_route_is_found(tmp_path: Path) -> None:
    """Where no scheme is accepted, nobody can be known."""
    route = "- path: /a\n  target: 127.0.0.1:9\n  auth: []\n  authorize: [{when: 'tenant == \"a\"'}]\n"
    assert ["nobody may pass" in line for line in doubts(tmp_path, route)] == [True]


def test_a_scheme_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A misspelt scheme never opens a route."""
    (found,) = check(configured(tmp_path, "- path: /a\n  target: 127.0.0.1:9\n  auth: [kyes]\n"), {})
    assert found.severity == "error"
    assert 'did you mean "keys"?' in str(found)


def explained(directory: Path, *arguments: str) -> dict[str, object]:
    """What explain says, as data."""
    ended = gateway("explain", "--json", *arguments, config=configured(directory, ROUTES))
    assert ended.returncode == 0, ended.stderr
    told: dict[str, object] = json.loads(ended.stdout)
    return told


def test_explain_names_the_rule_that_would_refuse(tmp_path: Path) -> None:
    """Without a credential, without the scope, from elsewhere: each time it is the rule that decides."""
    key = ("-H", f"X-API-Key: {KEY}")
    assert "refused by authentication: " in str(explained(tmp_path, "GET", "/orders/1")["verdict"])
    wrong = explained(tmp_path, "GET", "/orders/1", "-H", "X-API-Key: wrong")
    assert "refused by authentication:keys: " in str(wrong["verdict"])
    scope = explained(tmp_path, "POST", "/orders/1", *key)
    assert str(scope["verdict"]).startswith("refused by authorize:orders[0]: 403: ")
    elsewhere = explained(tmp_path, "GET", "/orders/1", *key, "--client", "192.0.2.1")
    assert str(elsewhere["verdict"]).startswith("refused by authorize:orders[1]: 403: ")


def test_explain_names_the_rules_that_allow(tmp_path: Path) -> None:
    """Who it is, and which rules let it pass; the key itself is not repeated."""
    told = explained(tmp_path, "GET", "/orders/1", "-H", f"X-API-Key: {KEY}")
    assert told["verdict"] == "allowed: no rule refuses it"
    rules = told["rules"]
    assert isinstance(rules, list)
    assert rules[0].startswith("allow authentication:keys: it is acme")
    assert rules[1] == "allow authorize: all that authorize:orders[1] asks for is there"
    assert KEY not in json.dumps(told)


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ("authorize: [{scopes: ['orders:read'], methods: [POST]}]", "no entry says anything of other methods"),
        ("methods: [GET, POST], authorize: [{scopes: ['orders:read'], methods: [POST]}]", "of GET, HEAD: whoever is"),
        ("methods: [GET, POST], authorize: [{when: 'true', methods: [GET]}, {when: 'true', methods: [POST]}]", None),
        ("authorize: [{scopes: ['orders:read'], methods: [POST]}, {when: 'true'}]", None),
        ("methods: [POST], authorize: [{scopes: ['orders:read'], methods: [POST, PUT]}]", None),
    ],
)
def test_methods_that_no_entry_is_for_are_told(tmp_path: Path, route: str, told: str | None) -> None:
    """An entry for POST does not keep GET out, although it may look so."""
    (tmp_path / "auth.yaml").write_text(AUTH)
    (tmp_path / "routes.yaml").write_text(f"- {{id: a, path: /a, target: '127.0.0.1:9', auth: [keys], {route}}}\n")
    problems = [str(problem) for problem in check(tmp_path, {})]
    assert len(problems) == (told is not None)
    assert told is None or told in problems[0]
