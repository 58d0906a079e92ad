"""`gateway explain` names the rules that let a caller pass or refuse it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.auth.support import key_hash
from tests.cli.support import gateway

KEY = "a-key-that-nobody-would-ever-guess"
AUTH = f"""
schemes:
  keys: {{api_key: {{header: X-API-Key}}}}
consumers:
- name: acme
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


def explained(directory: Path, *arguments: str) -> dict[str, object]:
    """What explain says, as data."""
    (directory / "routes.yaml").write_text(ROUTES)
    (directory / "auth.yaml").write_text(AUTH)
    ended = gateway("explain", "--json", *arguments, config=directory)
    report: dict[str, object] = json.loads(ended.stdout)
    assert ended.returncode == (4 if str(report["verdict"]).startswith("refused") else 0), ended.stderr
    return report


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
    report = explained(tmp_path, "GET", "/orders/1", "-H", f"X-API-Key: {KEY}")
    assert report["verdict"] == "allowed: no rule refuses it"
    rules = report["rules"]
    assert isinstance(rules, list)
    assert rules[0].startswith("allow authentication:keys: it is acme")
    assert rules[1] == "allow authorize: all requirements of authorize:orders[1] are met"
    assert KEY not in json.dumps(report)
