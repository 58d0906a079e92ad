"""Services and endpoints, as the admin port and the commands show them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.cli.support import gateway as cli
from tests.lifecycle.support import admin_url, get
from tests.support import GatewayProcess, running_gateway, until

ROUTES = """\
services:
  users: {endpoints: [{address: "127.0.0.1:1", weight: 2, zone: a}, {address: "127.0.0.1:2", weight: 0, priority: 1}]}
  lost: {discovery: {file: nowhere.yaml, first_answer: 0.3s}}
routes:
- {path: /users/*, target: users}
- {path: /lost, target: lost, breaker: short}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("services"), ROUTES) as it:
        until(lambda: _page(it, "/services/lost")["stale"] is not None)
        yield it


def _page(gateway: GatewayProcess, path: str) -> Any:
    return httpx2.get(admin_url(gateway, path)).json()


def _command(gateway: GatewayProcess, *arguments: str, code: int = 0) -> str:
    done = cli(*arguments, "--admin", f"127.0.0.1:{gateway.admin_port}")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_a_service_is_shown_with_all_of_each_endpoint(gateway: GatewayProcess) -> None:
    """One line for each: address, weight, zone, source, state and why, since when, and what it has had."""
    users = _page(gateway, "/services/users")
    first, second = users["endpoints"]
    assert (first["endpoint"], first["weight"], first["zone"], first["state"]) == ("127.0.0.1:1", 2, "a", "in")
    assert (second["priority"], second["state"], second["reason"]) == (1, "draining", "weight 0: no new requests")
    assert first["source"] == "routes.yaml"
    assert first["since"] is not None
    before = first["requests"], first["failures"]
    assert get(gateway, "/users/1").status_code in (502, 503)
    first = _page(gateway, "/services/users")["endpoints"][0]
    assert first["requests"] - before[0] >= 1
    assert first["failures"] - before[1] >= 1


def test_services_are_listed_with_their_sources(gateway: GatewayProcess) -> None:
    """One that has lost its source says so; one that does not exist is a 404 with the remedy."""
    lost, users = _page(gateway, "/services")
    assert (lost["service"], lost["state"], lost["of"]) == ("lost", "down", 0)
    assert "nowhere.yaml cannot be read" in lost["stale"]
    assert (users["service"], users["of"]) == ("users", 2)
    assert "GET /services" in _page(gateway, "/services/nosuch")["error"]
    assert [each["endpoint"] for each in _page(gateway, "/endpoints?service=users&limit=1")] == ["127.0.0.1:1"]


def test_the_status_command(gateway: GatewayProcess) -> None:
    """Every service on a line, what does not work, and an exit code for scripts."""
    shown = _command(gateway, "status", code=2)
    assert "failing: the endpoints of lost are stale" in shown
    assert any(line.startswith("users") and "  routes.yaml" in line for line in shown.splitlines())
    assert json.loads(_command(gateway, "status", "--json", code=2))["services"][1]["service"] == "users"


def test_the_status_command_says_why_endpoints_are_out(gateway: GatewayProcess) -> None:
    """Of one of them, and how many others there are."""
    said = {"service": "users", "status": "failing"}
    for instance in ("127.0.0.1:1", "127.0.0.1:2"):
        body = said | {"instance": instance}
        httpx2.post(admin_url(gateway, "/health-feedback"), json=body, headers=gateway.admin_token)
    why = r"users is down: 127.0.0.1:1: feedback: a monitor says failing \(for [0-9]+ s\); 1 more\n"
    until(
        lambda: re.search(why, _command(gateway, "status", code=2)) is not None
    )  # states are looked at anew once in a while
    for instance in ("127.0.0.1:1", "127.0.0.1:2"):
        body = said | {"instance": instance, "status": "passing"}
        httpx2.post(admin_url(gateway, "/health-feedback"), json=body, headers=gateway.admin_token)


def test_the_status_command_names_breakers_that_refuse(gateway: GatewayProcess) -> None:
    """One that is open, or was forced, is a reason why a service gets no requests."""
    assert "breaker of" not in _command(gateway, "status", code=2)
    body = {"state": "open", "reason": "migration"}
    httpx2.put(admin_url(gateway, "/breakers/lost"), json=body, headers=gateway.admin_token)
    assert "breaker of route lost for lost: forced_open, migration" in _command(gateway, "status", code=2)


def test_the_explain_command_asks_the_running_gateway(gateway: GatewayProcess) -> None:
    """With --running it knows what became of requests, and needs no files."""
    shown = _command(gateway, "explain", "get", "/users/1", "-H", "X-Stage: draft", "--running")
    assert 'result: route "users"' in shown
    assert "  127.0.0.1:2: not considered, weight 0" in shown


def test_the_top_command(gateway: GatewayProcess) -> None:
    """The endpoints of a service, with what comes per second."""
    shown = _command(gateway, "top", "--service", "users", "--count", "2", "--interval", "0.2")
    assert shown.count("REQUESTS/S") == 2
    assert "127.0.0.1:2" in shown
    assert "weight 0: no new requests" in shown
    assert not any(line.startswith("lost ") for line in shown.splitlines())


def test_explanations_show_the_endpoints_considered(gateway: GatewayProcess) -> None:
    """How each stands with the balancer, and why the others are not considered."""
    first, second = _page(gateway, "/explain?url=/users/1")["considered"]
    assert first.startswith("127.0.0.1:1: weight 100%, 0 in flight")
    assert second == "127.0.0.1:2: not considered, weight 0"
    (none,) = _page(gateway, "/explain?url=/lost")["considered"]
    assert none.startswith("lost has no endpoint: file nowhere.yaml never answered: ")
