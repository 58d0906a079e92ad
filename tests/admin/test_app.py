"""The admin port shows what is in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.lifecycle.support import admin_url, get
from tests.support import GatewayProcess, running_gateway

ROUTES = """\
services:
  users: {endpoints: ["127.0.0.1:1"]}
routes:
- path: /x
  target: asgi:tests.lifecycle.apps:one
- path: /users/*
  target: users
  methods: [GET]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    path = tmp_path_factory.mktemp("admin")
    with running_gateway(path, ROUTES, middleware="limits: {headers: 77}", auth="trusted_proxies: [10.0.0.0/8]") as it:
        yield it


def _page(gateway: GatewayProcess, path: str, status: int = 200) -> Any:
    answer = httpx2.get(admin_url(gateway, path))
    assert answer.status_code == status
    return answer.json()


def test_routes_are_shown(gateway: GatewayProcess) -> None:
    """Every route with what it says beyond the defaults, and nothing else."""
    assert _page(gateway, "/routes") == [
        {"id": "x", "path": "/x", "target": "asgi:tests.lifecycle.apps:one"},
        {"id": "users", "path": "/users/*", "target": "users", "methods": ["GET"]},
    ]


def test_the_configuration_in_force_is_shown(gateway: GatewayProcess) -> None:
    """All three files, defaults included, and the digest that /health has."""
    config = _page(gateway, "/config")
    assert config["digest"] == get(gateway, "/health").json()["config"]["digest"]
    assert config["middleware.yaml"]["limits"]["headers"] == 77
    assert config["auth.yaml"]["trusted_proxies"] == ["10.0.0.0/8"]
    assert list(config["routes.yaml"]["services"]) == ["users"]


def test_endpoints_are_shown_with_their_counters(gateway: GatewayProcess) -> None:
    """Requests, failures and connections of each."""
    before = _page(gateway, "/endpoints")[0]
    assert get(gateway, "/users/1").status_code == 502
    after = _page(gateway, "/endpoints")[0]
    assert after["endpoint"] == "127.0.0.1:1"
    assert (after["requests"] - before["requests"], after["failures"] - before["failures"]) == (1, 1)
    assert after["connections"] == {"open": 0, "idle": 0}


def test_a_request_is_explained(gateway: GatewayProcess) -> None:
    """The same that `gateway explain` says, of the configuration in force; a question without a URL is answered 400."""
    explained = _page(gateway, "/explain?method=post&url=/users/1&header=a:b")
    assert explained["result"] == "405: the path takes GET, HEAD, not POST"
    assert "url=" in _page(gateway, "/explain", 400)["error"]
    assert "neither a path nor a URL" in _page(gateway, "/explain?url=http://[::1/x", 400)["error"]


def test_the_configuration_report_is_shown(gateway: GatewayProcess) -> None:
    """What /health on the public port says of the configuration, and what is wrong with it."""
    page = _page(gateway, "/health")
    del page["failing"]  # which names backends that the other tests' requests failed at
    own: dict[str, Any] = {
        "errors": [],
        "roles": "discovery,router,auth,monitor",
        "status": "ok",
        "ending": None,
        "former": None,
        "maintenance": None,
    }
    assert page == get(gateway, "/health").json()["config"] | own


def test_nothing_is_changed_by_looking(gateway: GatewayProcess) -> None:
    """A reload wants POST."""
    assert httpx2.get(admin_url(gateway, "/reload")).status_code == 405
