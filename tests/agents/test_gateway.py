"""What a gateway tells the bridge and takes from it by the admin API, where there is no Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.lifecycle.support import admin_url, reload
from tests.support import GatewayProcess, running_gateway, until

KEY = "planted_key_of_acme_4eC39H"
ROUTES = """\
services:
  users: {endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}
  user-api: {discovery: {agents: acme, hold_empty: 1h, first_answer: 0.2s}}
  alone: {endpoints: ["127.0.0.1:3"]}
routes:
- {path: /users/*, target: users, auth: [keys]}
- {path: /api/*, target: user-api}
- {path: /alone, target: alone}
"""
MIDDLEWARE = "agents: {prefix: acme, networks: [10.0.0.0/8], stale_after: 0.7s}\n"
AUTH = f"""\
schemes: {{keys: {{api_key: {{header: X-API-Key, query: api_key}}}}}}
consumers: [{{name: acme-corp, keys: ["sha256:{sha256(KEY.encode()).hexdigest()}"]}}]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("agents"), ROUTES, MIDDLEWARE, AUTH) as it:
        yield it


def _say(gateway: GatewayProcess, kind: str, **body: Any) -> httpx2.Response:
    messages = {"messages": [{"kind": kind, "body": body}]}
    return httpx2.post(admin_url(gateway, "/agents/messages"), json=messages, headers=gateway.admin_token)


def _records(gateway: GatewayProcess, after: str = "", wait: float = 0, kinds: str = "") -> Any:
    path = f"/agents/messages?after={after}&wait={wait}" + (f"&kinds={kinds}" if kinds else "")
    answer = httpx2.get(admin_url(gateway, path), headers=gateway.admin_token, timeout=wait + 30)
    return answer.raise_for_status().json()


def _service(gateway: GatewayProcess, name: str) -> Any:
    return httpx2.get(admin_url(gateway, f"/services/{name}")).json()


def _refused_votes(gateway: GatewayProcess) -> float:
    page = httpx2.get(admin_url(gateway, "/metrics")).text
    return float(page.split("\ngateway_agents_feedback_refused_total ")[1].split()[0])


def _health(gateway: GatewayProcess) -> Any:
    return httpx2.get(admin_url(gateway, "/health")).json()


def _registry(gateway: GatewayProcess, *hosts: str) -> None:
    instances = [{"host": host, "port": 8080, "health": "passing"} for host in hosts]
    said = _say(gateway, "agent-registry", prefix="acme", service="user-api", by="acme-discovery", instances=instances)
    assert said.json() == {"taken": 1}


def test_a_service_is_what_its_agent_says(gateway: GatewayProcess) -> None:
    """The set is used at once, kept where nothing more comes and said to be stale, and an empty one is held back."""
    _registry(gateway, "10.0.1.5", "10.0.1.6", "192.0.2.1")
    until(lambda: len(_service(gateway, "user-api")["endpoints"]) == 2)
    shown = _service(gateway, "user-api")
    assert shown["source"] == "the agent acme-discovery"
    assert any("192.0.2.1:8080) not used" in trouble for trouble in _health(gateway)["failing"])
    until(lambda: _service(gateway, "user-api")["stale"] is not None)
    assert "no service-registry of user-api for" in _service(gateway, "user-api")["stale"]
    explained = httpx2.get(admin_url(gateway, "/explain?url=/api/x")).json()["source"]
    assert explained.startswith("the agent acme-discovery; stale: no service-registry of user-api for")
    assert len(_service(gateway, "user-api")["endpoints"]) == 2

    def said_to_be_empty() -> bool:
        _registry(gateway)  # again: while it is looked for, the former may have become stale, which is said instead
        return "has no instances any more" in str(_health(gateway)["failing"])

    until(said_to_be_empty)
    assert len(_service(gateway, "user-api")["endpoints"]) == 2


def test_feedback_of_an_agent_is_one_vote(gateway: GatewayProcess) -> None:
    """It takes an instance out, by name, and never below the endpoints that must be left."""
    before = _refused_votes(gateway)
    fields = {"service": "users", "status": "failing", "error_rate": 0.42, "by": "acme-monitor"}
    assert _say(gateway, "health-feedback", instance="127.0.0.1:1", **fields).status_code == 200
    until(lambda: _service(gateway, "users")["endpoints"][0]["state"] == "out")
    assert _service(gateway, "users")["endpoints"][0]["reason"] == "agents: acme-monitor says failing, 42% errors"
    _say(gateway, "health-feedback", instance="127.0.0.1:2", **fields)
    _say(gateway, "health-feedback", **fields | {"service": "alone", "instance": "127.0.0.1:3"})
    until(lambda: _refused_votes(gateway) == before + 2)
    assert _service(gateway, "users")["endpoints"][1]["state"] == "in"
    assert _service(gateway, "alone")["endpoints"][0]["state"] == "in"
    _say(gateway, "health-feedback", instance="127.0.0.1:1", **fields | {"status": "passing"})
    until(lambda: _service(gateway, "users")["endpoints"][0]["state"] == "in")


def test_an_agent_takes_back_only_what_agents_said(gateway: GatewayProcess) -> None:
    """The vote of the gateway's own monitor, or of an operator, stays until these take it back, or it ends."""
    vote = {"service": "users", "instance": "127.0.0.1:1", "status": "failing"}
    own, before = admin_url(gateway, "/health-feedback"), _refused_votes(gateway)
    assert httpx2.post(own, json=vote, headers=gateway.admin_token).status_code == 200
    _say(gateway, "health-feedback", **vote, by="acme-monitor")
    _say(gateway, "health-feedback", **vote | {"status": "passing"}, by="acme-monitor")
    _say(gateway, "health-feedback", **vote | {"service": "alone", "instance": "127.0.0.1:3"}, by="acme-monitor")
    until(lambda: _refused_votes(gateway) != before)  # so that those before were heard
    endpoint = _service(gateway, "users")["endpoints"][0]
    assert (endpoint["state"], endpoint["reason"]) == ("out", "feedback: a monitor says failing")
    httpx2.post(own, json=vote | {"status": "passing"}, headers=gateway.admin_token).raise_for_status()
    until(lambda: _service(gateway, "users")["endpoints"][0]["state"] == "in")


def test_the_bridge_gets_requests_without_their_keys(gateway: GatewayProcess) -> None:
    """It learns of what was decided, and how attempts ended; a new reader begins with the services."""
    first = _records(gateway)
    services = {each["body"]["service"] for each in first["messages"]}
    assert services >= {"users", "alone"}
    httpx2.get(f"{gateway.url}/users/1?a=b", headers={"x-api-key": KEY})
    httpx2.get(f"{gateway.url}/users/2", headers={"x-api-key": "another"})
    httpx2.get(f"{gateway.url}/users/3?api_key={KEY}")
    reports: list[Any] = []
    after = first["next"]
    for _ in range(20):
        records = _records(gateway, after, wait=5)
        after = records["next"]
        reports += [each["body"] for each in records["messages"] if each["kind"] == "request-report"]
        if len(reports) == 3:
            break
    allowed, denied, of_query = reports
    assert (allowed["client"], allowed["decision"], allowed["path"]) == ("acme-corp", "allow", "/users/1")
    assert (allowed["credential"], allowed["fingerprint"]) == (
        "api_key",
        f"sha256:{sha256(KEY.encode()).hexdigest()[:16]}",
    )
    assert ["users", "127.0.0.1:1", True] in allowed["attempts"]
    assert (denied["decision"], denied["attempts"]) == ("deny", [])
    assert (of_query["credential"], of_query["path"]) == ("api_key", "/users/3")
    assert allowed["fingerprint"].startswith(of_query["fingerprint"])
    assert KEY not in str(reports)
    assert "planted" not in str(reports)


def test_a_reader_is_answered_for_the_kinds_that_it_asks_for(gateway: GatewayProcess) -> None:
    """A role that only wants services is not woken by requests; a kind that does not exist is named."""
    after = _records(gateway)["next"]
    httpx2.get(f"{gateway.url}/users/1", headers={"x-api-key": KEY})
    reports = _records(gateway, after, 20, "request-report,api-alert")
    assert {each["kind"] for each in reports["messages"]} == {"request-report"}
    begun = time.monotonic()
    services = _records(gateway, after, 1, "service-registry")
    # Of services something may have been said meanwhile: feedback of other tests ends.
    assert {each["kind"] for each in services["messages"]} <= {"service-registry"}
    assert services["messages"] or time.monotonic() - begun >= 1
    assert services["missed"] == 0
    url = admin_url(gateway, "/agents/messages?kinds=traffic,nonsense")
    answer = httpx2.get(url, headers=gateway.admin_token)
    assert (answer.status_code, "nonsense is no kind of message" in answer.text) == (400, True)


def test_what_the_bridge_says_needs_a_token_and_a_form(gateway: GatewayProcess) -> None:
    """Reading needs one, too, since credentials may be in it; what is wrong is said with its place."""
    url = admin_url(gateway, "/agents/messages")
    assert httpx2.get(url).status_code == 401
    assert httpx2.post(url, json={"messages": []}).status_code == 401
    assert "messages[0].kind is one of" in _say(gateway, "service-registry").json()["error"]
    assert "messages[0].body.service" in _say(gateway, "health-feedback", by="x").json()["error"]
    answer = _say(gateway, "health-feedback", service="users", instance="127.0.0.1:1", status="failing")
    assert "body.by says which agent" in answer.json()["error"]
    for wait in ("x", "nan", "-1", "1e400"):
        answer = httpx2.get(f"{url}?after=zzz-9&wait={wait}", headers=gateway.admin_token)
        assert answer.status_code == (400 if wait == "x" else 200)


def test_health_says_how_bridges_do(gateway: GatewayProcess) -> None:
    """By name, with their problems among the troubles, and their counts among the metrics."""
    counts = {"refused": {"role": 2}, "dropped": {"access-log": 7}}
    _say(
        gateway,
        "agent-standing",
        hostname="acme-router",
        role="router",
        state="waiting",
        problems=["no daemon"],
        counts=counts,
    )
    until(lambda: "acme-router" in _health(gateway)["agents"])
    assert _health(gateway)["agents"]["acme-router"]["state"] == "waiting"
    assert "the bridge of the agent acme-router: no daemon" in _health(gateway)["failing"]
    assert httpx2.get(admin_url(gateway, "/agents")).json()["acme-router"]["refused"] == {"role": 2}
    metrics = httpx2.get(admin_url(gateway, "/metrics")).text
    assert 'gateway_agents_refused_total{agent="acme-router",reason="role"} 2.0' in metrics
    assert 'gateway_agents_connected{agent="acme-router"} 0.0' in metrics


def test_another_time_until_instances_are_stale_needs_a_reload_only(tmp_path: Path) -> None:
    """What was said stays, and counts as stale by the new time."""
    with running_gateway(tmp_path, ROUTES, MIDDLEWARE.replace("0.7s", "1h"), AUTH) as gateway:
        _registry(gateway, "10.0.1.5")
        until(lambda: len(_service(gateway, "user-api")["endpoints"]) == 1)
        assert _service(gateway, "user-api")["stale"] is None
        gateway.write(middleware=MIDDLEWARE)
        assert reload(gateway).is_success
        until(lambda: _service(gateway, "user-api")["stale"] is not None)
        assert "no service-registry of user-api for" in _service(gateway, "user-api")["stale"]
        assert len(_service(gateway, "user-api")["endpoints"]) == 1


def test_it_is_said_what_an_agent_publishes_in_place_of_a_service(tmp_path: Path) -> None:
    """A misspelt name is found, and who looks for a service by agents learns that another gateway must publish it."""

    def said(gateway: GatewayProcess) -> str:
        return " ".join(_health(gateway)["failing"])

    with running_gateway(tmp_path, ROUTES, MIDDLEWARE, AUTH) as gateway:
        until(lambda: "start the agent, and the bridge of the router" in said(gateway))
        other = {"prefix": "acme", "by": "acme-discovery", "instances": []}
        assert _say(gateway, "agent-registry", service="orders", **other).is_success
        until(lambda: "it publishes orders" in said(gateway) and "another one does" in said(gateway))
        assert _say(gateway, "agent-registry", service="user-ap", **other).is_success
        until(lambda: "did you mean user-ap?" in said(gateway))


def test_what_the_bridge_says_is_no_change_by_an_operator(gateway: GatewayProcess) -> None:
    """It says something every few seconds: the log has a line only of what was refused, and of what operators do."""
    assert httpx2.post(admin_url(gateway, "/reload"), headers=gateway.admin_token).status_code == 200
    assert _say(gateway, "agent-standing", hostname="acme-router", role="router", state="connected").status_code < 300
    assert _say(gateway, "service-registry").status_code == 400
    until(lambda: "POST /agents/messages by local: not done, 400" in gateway.log)
    until(lambda: "POST /reload by local: done" in gateway.log)
    assert "POST /agents/messages by local: done" not in gateway.log
