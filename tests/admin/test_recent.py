"""The last requests, as the admin port and `gateway last` show them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from gateway.admin.operations import routes_of
from gateway.admin.recent_api import recent_operations
from gateway.admin.recent_commands import _attempt
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Outcome
from gateway.monitor.recent_requests import MOST, MOST_TEXT, RecentRequests
from tests.admin.support import short_turns
from tests.auth.support import key_hash
from tests.cli.support import gateway as cli
from tests.lifecycle.support import admin_url, get
from tests.resilience.support import running
from tests.support import GatewayProcess, running_gateway

ROUTES = """\
routes:
- {path: "/hello/{name}", id: hello, target: "asgi:tests.lifecycle.apps:one", rewrite: "/greet/{name}"}
- {path: /dead, id: dead, target: "127.0.0.1:1"}
- {path: /tried, id: tried, target: "asgi:tests.lifecycle.apps:one"}
- {path: /staged, id: staged, target: "asgi:tests.lifecycle.apps:one", headers: {x-stage: draft}}
- {path: /keyed, id: keyed, target: "asgi:tests.lifecycle.apps:one", auth: [keys]}
"""
MIDDLEWARE = """\
rate_limits:
  few: {key: [address], limits: [2/h], routes: [hello]}
  many: {key: [address], limits: [100/h], routes: [hello], mode: shadow}
  tried: {key: [address], limits: [1/h], routes: [tried], mode: shadow}
quotas:
  monthly: {key: [address], limit: 1000, window: month, routes: [staged]}
"""


KEY = "gw_a-key-that-is-long-enough-to-be-one"
AUTH = f"""\
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
default: []
consumers: [{{name: acme, keys: ["{key_hash(KEY)}"]}}]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("recent"), ROUTES, MIDDLEWARE, AUTH) as it:
        yield it


def _last(gateway: GatewayProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cli("last", *arguments, "--admin", f"127.0.0.1:{gateway.admin_port}")


def test_a_hedged_attempt_is_not_said_to_be_followed_by_another() -> None:
    """The two ran side by side."""
    lost = {"endpoint": "127.0.0.1:1", "ms": 400.9, "why_next": "hedged"}
    said = "127.0.0.1:1: status - after 400.9 ms; given up, as another attempt ran beside it (hedge) and its answer was"
    assert _attempt(lost) == f"{said} taken"


def _newest(gateway: GatewayProcess) -> Any:
    return httpx2.get(admin_url(gateway, "/requests?limit=1")).json()[0]


def test_a_request_is_shown_with_its_reasons_and_its_limits(gateway: GatewayProcess) -> None:
    """Where it went, why, in which limits it was counted, and, when one is used up, who refused it; queries are not
    kept, since there may be secrets in them."""
    assert get(gateway, "/hello/world?token=secret").status_code == 200
    shown = _newest(gateway)
    assert (shown["status"], shown["route"]) == (200, "hello")
    assert shown["why"] == "the path fits /hello/{name}, the most specific that does"
    assert shown["limits"] == ["rate_limit:few: 1 of 2 in 1h are left", "rate_limit:many: 99 of 100 in 1h are left"]
    assert "secret" not in json.dumps(shown)
    get(gateway, "/hello/world")
    assert get(gateway, "/hello/world").status_code == 429
    said = _last(gateway).stdout
    assert "GET /hello/world  answered 429 in " in said
    assert "decisions:\n  deny rate_limit:few: the limit few (2 in 1h) is used up" in said
    assert "sent:" not in said
    assert "limits:\n  rate_limit:few: refused it\n" in said
    assert _newest(gateway)["limits"] == ["rate_limit:few: refused it"]
    earlier = _last(gateway, shown["request_id"]).stdout
    assert "rate_limit:few: 1 of 2 in 1h are left" in earlier
    more = f"gateway explain --running --admin 127.0.0.1:{gateway.admin_port} GET"
    assert f"more: {more} http://127.0.0.1:{gateway.port}/hello/world" in earlier


def test_an_address_that_is_not_believed_is_mentioned(gateway: GatewayProcess) -> None:
    """A proxy that is not among the trusted ones says in vain who its client is."""
    headers = {"x-forwarded-for": "10.1.2.3"}
    httpx2.get(f"http://127.0.0.1:{gateway.port}/nowhere", headers=headers)
    assert "from: 127.0.0.1 (its X-Forwarded-For is not believed: not in trusted_proxies), no" in _last(gateway).stdout
    get(gateway, "/nowhere")
    assert "from: 127.0.0.1, no consumer" in _last(gateway).stdout


def test_who_called_is_named_with_the_fingerprint_of_the_credential(gateway: GatewayProcess) -> None:
    """So that the key can be told among those of its consumer."""
    httpx2.get(f"http://127.0.0.1:{gateway.port}/keyed", headers={"x-api-key": KEY}).raise_for_status()
    fingerprint = key_hash(KEY)[: len("sha256:") + 12]
    assert (_newest(gateway)["consumer"], _newest(gateway)["credential"]) == ("acme", fingerprint)
    said = _last(gateway).stdout
    assert f"from: 127.0.0.1, acme by {fingerprint}\n" in said
    assert "decisions:\n  allow authentication:keys: the caller is known" in said


@pytest.mark.parametrize(
    ("admin", "said"),
    [
        (
            "127.0.0.1:{port}",
            "the server at 127.0.0.1:{port} answers 404, as no admin API does; name that",
        ),
        ("http://127.0.0.1:{port}", "is a URL; name the admin API by its host and port, such as 127.0.0.1:9001"),
    ],
)
def test_what_is_no_admin_port_is_said_to_be_none(gateway: GatewayProcess, admin: str, said: str) -> None:
    """The port of the routes, and the URL that other gateways' commands take."""
    ended = cli("last", "--admin", admin.format(port=gateway.port))
    assert (ended.returncode, said.format(port=gateway.port) in ended.stderr) == (1, True), ended.stderr


def test_limits_that_are_tried_are_shown(gateway: GatewayProcess) -> None:
    """A limit in shadow mode that is used up is named as one that would have refused the request."""
    for _ in range(2):
        assert get(gateway, "/tried").status_code == 200
    assert "limits:\n  rate_limit:tried: would have refused it (shadow)\n" in _last(gateway).stdout


def test_failures_show_what_was_tried(gateway: GatewayProcess) -> None:
    """Each attempt with its endpoint and its failure; requests without a route say so, too."""
    assert get(gateway, "/dead").status_code == 502
    assert [attempt["error"] for attempt in _newest(gateway)["attempts"]] == ["upstream-refused"]
    get(gateway, "/nowhere")
    said = _last(gateway, "-n", "2").stdout
    assert "error: no-route: no route takes GET /nowhere" in said
    assert re.search(r"  127.0.0.1:1: upstream-refused after [0-9.]+ ms; none after it: no other endpoint\n", said)
    assert json.loads(_last(gateway, "--route", "dead", "--json").stdout)[0]["route"] == "dead"


def test_conditions_that_are_not_kept_are_named(gateway: GatewayProcess) -> None:
    """A route that was chosen by a header says what decided; quotas are shown like limits."""
    headers = {"x-stage": "draft"}
    assert httpx2.get(f"http://127.0.0.1:{gateway.port}/staged", headers=headers).status_code == 200
    shown = _newest(gateway)
    assert "its other conditions decided" in shown["why"]
    assert shown["limits"] == ["quota:monthly: 999 of 1000 in a month are left"]


def test_an_unknown_request_is_reported(gateway: GatewayProcess) -> None:
    """The answer for a request that is no longer kept says where to look."""
    ended = _last(gateway, "no-such-id")
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: this request is not among the last ones; look for its request_id in the access log\n",
    )


async def test_many_requests_of_many_routes_hold_nothing_up(tmp_path: Path) -> None:
    """All that are kept are shown with their reasons, and nothing else of the gateway waits longer than a moment."""
    routes = "".join(f'- {{id: r{n}, path: "/r{n}/*", target: "asgi:tests.lifecycle.apps:one"}}\n' for n in range(3000))
    async with running(tmp_path, f"routes:\n{routes}") as gateway:
        for number in range(MOST):
            await gateway.get(f"/r{number}/x")
        recent = RecentRequests()
        for exchange, outcome in gateway.outcomes:
            recent.report(exchange, outcome)
        api = httpx2.ASGITransport(Starlette(routes=routes_of(recent_operations(gateway.reloader, recent))))
        async with httpx2.AsyncClient(transport=api, base_url="http://127.0.0.1") as admin, short_turns(0.1):
            shown = (await admin.get("/requests")).json()
        assert [each["why"] for each in reversed(shown)] == [
            f"the path fits /r{number}/*, the most specific that does" for number in range(MOST)
        ]


def test_few_are_kept_and_little_of_each() -> None:
    """However many come and however long their paths are, memory is bounded."""
    recent = RecentRequests()
    for number in range(MOST + 10):
        long = "/" + "x" * 100_000
        recent.report(
            Exchange(str(number), "GET", long, b"", [], {}, "http", long, "", False, "127.0.0.1"), Outcome(0, 0)
        )
    kept = list(recent)
    assert [kept[0].request_id, len(kept)] == [str(MOST + 9), MOST]
    assert max(len(each.original_path) for each in kept) <= MOST_TEXT + 3
    assert max(len(each.host) for each in kept) <= MOST_TEXT + 3


def test_a_limit_of_a_service_is_shown() -> None:
    """A request that was one too many at once for its service names that limit, too."""
    recent = RecentRequests()
    exchange = Exchange("1", "GET", "/", b"", [], {}, "http", "", "", False, "127.0.0.1")
    exchange.upstream, exchange.error = "orders", GatewayError(ErrorKind.CONCURRENCY_LIMIT, "2 requests at once")
    recent.report(exchange, Outcome(503, 0))
    assert [each.limits for each in recent] == [["2 requests at once: refused it"]]


def test_a_reload_says_what_is_served_or_wrong(gateway: GatewayProcess) -> None:
    """`gateway reload` ends with 1 and every error where the files are wrong, which then change nothing."""
    admin = ["--admin", f"127.0.0.1:{gateway.admin_port}"]
    ended = cli("reload", *admin)
    assert re.fullmatch(r"configuration [0-9a-f]{12} is served, after 1 reload\n", ended.stdout), ended.stderr
    gateway.write(middleware="limit: 1")
    ended = cli("reload", *admin)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith('error: middleware.yaml:1:1: limit: unknown key, did you mean "limits"?')
    gateway.write(middleware=MIDDLEWARE)


def test_a_running_gateway_explains_a_request_with_its_body(gateway: GatewayProcess) -> None:
    """`explain --admin` asks the gateway there; its exit codes are the same."""
    admin = ["--admin", f"127.0.0.1:{gateway.admin_port}"]
    ended = cli("explain", "POST", "/dead", "--body", "x" * 9, *admin)
    assert (ended.returncode, "considered:" in ended.stdout) == (0, True), ended.stderr
    assert cli("explain", "POST", "/nowhere", "--body", "x" * 9, *admin).returncode == 3
