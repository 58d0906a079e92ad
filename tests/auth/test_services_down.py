"""A service that knows whose credentials are right, and is down: where operators look, it is named."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx2
import pytest

from tests.lifecycle.support import admin_url, health
from tests.support import GatewayProcess, free_port, running_gateway

from .schemes_support import Asked, Reply, http_service, json_reply
from .support import claims, mint

TOKEN = {"authorization": "Bearer opaque-1"}
ROUTES = """
routes:
- {path: /opaque, target: 'asgi:tests.lifecycle.apps:one', auth: [opaque]}
- {path: /asked, target: 'asgi:tests.lifecycle.apps:one', auth: [asked]}
- {path: /closed, target: 'asgi:tests.lifecycle.apps:one', auth: [closed]}
"""


def _auth(url: str) -> str:
    return json.dumps(
        {
            "schemes": {
                "opaque": {"introspection": {"url": url, "cache": 0}},
                "asked": {"forward_auth": {"url": url}},
                "closed": {"forward_auth": {"url": url, "on_failure": "forbidden"}},
            }
        }
    )


def _metrics(gateway: GatewayProcess) -> str:
    return httpx2.get(admin_url(gateway, "/metrics"), timeout=30).text


@pytest.mark.parametrize(
    ("path", "scheme", "status", "refused_with"),
    [("/opaque", "opaque", 503, 503), ("/asked", "asked", 503, 503), ("/closed", "closed", 403, 403)],
)
async def test_a_service_that_fails_is_named_until_it_answers_again(
    tmp_path: Path, path: str, scheme: str, status: int, refused_with: int
) -> None:
    """Its scheme, URL and what it did, in status, `gateway last` and metrics, where it is no wrong password; clients
    learn none of it."""

    async def failing(asked: Asked) -> Reply:
        return 500, {}, b""

    async def working(asked: Asked) -> Reply:
        return json_reply({"active": True, "sub": "user-1"})

    async with http_service(failing) as service:
        with running_gateway(tmp_path, ROUTES, auth=_auth(service.url)) as gateway:

            def down() -> None:
                for _ in range(2):
                    answer = httpx2.get(gateway.url + path, headers=TOKEN, timeout=30)
                    assert answer.status_code == status
                    assert service.url not in answer.text
                (trouble,) = health(gateway)["failing"]
                assert trouble.startswith(f"scheme {scheme}: 2 queries failed in ")
                assert f"so callers are answered {refused_with}: {service.url}: it answered 500; see " in trouble
                (last,) = httpx2.get(admin_url(gateway, "/requests"), params={"limit": "1"}, timeout=30).json()
                assert f"cannot be asked: {service.url}: it answered 500" in last["error"]
                assert last["decisions"][0].startswith(f"unknown authentication:{scheme}: ")
                metrics = _metrics(gateway)
                assert f'gateway_auth_requests_total{{scheme="{scheme}",outcome="unavailable"}} 2' in metrics
                assert 'verdict="deny"' not in metrics
                assert 'outcome="failed"} 2' in metrics
                assert "gateway_troubles 1" in metrics

            def up() -> None:
                assert httpx2.get(gateway.url + path, headers=TOKEN, timeout=30).status_code == 200
                assert health(gateway)["failing"] == []
                assert "gateway_troubles 0" in _metrics(gateway)

            await asyncio.to_thread(down)
            service.reply = working
            await asyncio.to_thread(up)


def test_the_keys_of_an_issuer_that_is_down_are_named(tmp_path: Path) -> None:
    """In `gateway last`, too: the issuer, and why its keys are not there."""
    url = f"http://127.0.0.1:{free_port()}/keys"
    issuer = {"issuer": "https://id.example.com", "jwks_url": url, "algorithms": ["RS256"], "audiences": ["a"]}
    auth = json.dumps({"schemes": {"opaque": {"jwt": {"issuers": [issuer]}}}})
    routes = "routes: [{path: /opaque, target: 'asgi:tests.lifecycle.apps:one', auth: [opaque]}]\n"
    with running_gateway(tmp_path, routes, auth=auth) as gateway:
        token = mint(payload=claims(iss="https://id.example.com"), header={"kid": "one"})
        headers = {"authorization": f"Bearer {token}"}
        assert httpx2.get(f"{gateway.url}/opaque", headers=headers, timeout=30).status_code == 503
        (trouble,) = health(gateway)["failing"]
        assert "the keys of https://id.example.com cannot be fetched for " in trouble
        (last,) = httpx2.get(admin_url(gateway, "/requests"), params={"limit": "1"}, timeout=30).json()
        assert "the keys of the issuer https://id.example.com cannot be fetched at the moment: " in last["error"]
        assert url in last["error"]
        assert 'gateway_auth_requests_total{scheme="opaque",outcome="unavailable"} 1' in _metrics(gateway)
