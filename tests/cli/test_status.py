"""What `gateway status` says of services."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from gateway.admin import status_commands

HEALTH = {
    "digest": "1",
    "rolled_back": False,
    "reloads": 0,
    "roles": "discovery,router,auth,monitor",
    "errors": [],
    "failing": [],
}
FAILING = {
    "service": "127.0.0.1:9101",
    "providers": ["first"],
    "state": "down",
    "reason": "127.0.0.1:9101: it fails",
    "in": 1,
    "failing": 1,
    "of": 1,
    "source": "models.yaml",
}


def test_an_endpoint_that_gets_requests_and_fails_is_shown_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider is known by its name, and that its only endpoint is in does not look as if all were well."""
    answers: dict[str, Any] = {"/health": HEALTH, "/services": [FAILING], "/breakers": []}
    monkeypatch.setattr(status_commands, "ask", lambda _admin, _method, path, **_: answers[path])
    ended = CliRunner().invoke(status_commands.status, [])
    assert ended.exit_code == 2, ended.exception
    assert "127.0.0.1:9101 (provider first) is down: 127.0.0.1:9101: it fails" in ended.output
    assert ended.output.splitlines()[-1].split("  ")[-1].strip() == "models.yaml"
    assert "1 of 1, 1 failing" in ended.output
