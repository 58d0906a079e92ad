"""Quotas of consumers in the admin API, and `/quota` for themselves."""

from __future__ import annotations

from pathlib import Path

import httpx2

from tests.auth.support import claims, mint
from tests.cli.support import gateway as cli
from tests.resilience.support import running
from tests.support import running_gateway, until

ROUTES = """
base_path: /api
routes:
- {id: r, path: /*, redirect: /there}
- {id: s, path: /s, redirect: /there}
"""
AUTH = """
default: keys
schemes: {keys: {api_key: {}}}
consumers:
- {name: acme, tenant: t, groups: [gold], keys: [{key: a-key-of-acme-co}]}
"""
QUOTAS = """
quotas:
  daily: {limit: 1, window: day, tiers: {gold: 2}}
  by-route: {key: [tenant, route], limit: 9, window: month}
  by-address: {key: [address], limit: 9, window: month}
"""
KEY = {"x-api-key": "a-key-of-acme-co"}


async def test_an_operator_sees_and_resets_what_a_consumer_has_used(tmp_path: Path) -> None:
    """Of the quotas that count by consumer or tenant, with the limit of its tier; the others say what they count by."""
    (tmp_path / "auth.yaml").write_text(AUTH)
    async with running(tmp_path, ROUTES, QUOTAS) as gateway:
        statuses = [(await gateway.get("/api/x", headers=KEY)).status_code for _ in range(3)]
        assert statuses == [307, 307, 429]
        while True:  # a request waits for 20 ms for a count that has not been read yet
            shown = (await gateway.admin.get("/quotas", params={"consumer": "acme"})).json()["quotas"]
            daily, of_r, of_s, by_address = shown
            if None not in (daily["used"], of_r["used"], of_s["used"]):
                break
        assert (daily["limit"], daily["used"], daily["remaining"]) == (2, 2, 0)
        assert [(each["route"], each["tenant"], each["used"]) for each in (of_r, of_s)] == [
            ("r", "t", 2),
            ("s", "t", 0),
        ]
        assert (by_address["used"], by_address["why"]) == (None, "it counts by address, not by consumer alone")

        reset = await gateway.admin.delete("/quotas", params={"consumer": "acme", "quota": "daily"})
        assert reset.json() == {"consumer": "acme", "tenant": "t", "reset": [{"name": "daily", "forgiven": 2}]}
        assert (await gateway.get("/api/x", headers=KEY)).status_code == 307
        assert (await gateway.admin.get("/quotas")).status_code == 400
        missing = await gateway.admin.delete("/quotas", params={"consumer": "acme", "quota": "nope"})
        assert (missing.status_code, "daily, by-route" in missing.json()["error"]) == (404, True)


TOKENS = """
schemes: {tokens: {jwt: {issuers: [{issuer: "https://id.example.com", algorithms: [HS256], audiences: [gateway],
  secret: "%s", claims: {tenant: tenant, groups: groups}}]}}}
default: tokens
consumers: [{name: poor}]
"""
SECRET = "0123456789abcdef" * 4


def _token(tenant: str | None, subject: str, *groups: str) -> dict[str, str]:
    who = {} if tenant is None else {"tenant": tenant}
    payload = claims(iss="https://id.example.com", sub=subject, aud="gateway", groups=groups, **who)
    return {"authorization": f"Bearer {mint(key=SECRET.encode(), algorithm='HS256', payload=payload)}"}


async def test_a_tenant_of_tokens_is_named_and_no_other_counter_is_taken(tmp_path: Path) -> None:
    """Its counter is shown and reset by the name of the tenant; without it, none is, and an unknown name is refused."""
    (tmp_path / "auth.yaml").write_text(TOKENS % SECRET)
    quotas = "quotas: {daily: {key: [tenant], limit: 50, window: day, tiers: {gold: 2}}}\n"
    async with running(tmp_path, ROUTES, quotas) as gateway:
        for headers in (*[_token("acme", "ada", "gold")] * 3, _token(None, "someone")):
            await gateway.get("/api/x", headers=headers)
        asked = {"tenant": "acme"}
        while (shown := (await gateway.admin.get("/quotas", params=asked)).json()["quotas"][0])["used"] is None:
            pass
        assert (shown["used"], shown["limit"], shown["tiers"]) == (2, 50, {"gold": 2})
        for who in ("ada", "poor"):
            (shown,) = (await gateway.admin.get("/quotas", params={"consumer": who})).json()["quotas"]
            assert (shown["used"], "auth.yaml has none for" in shown["why"]) == (None, True)
            reset = await gateway.admin.delete("/quotas", params={"consumer": who})
            assert (reset.status_code, "name that of its token" in reset.json()["error"]) == (404, True)
        for method in ("GET", "DELETE"):
            unknown = await gateway.admin.request(method, "/quotas", params={"tenant": "acmee"})
            assert unknown.status_code == 404
            assert "nothing is counted of the tenant acmee in the current windows" in unknown.json()["error"]
        assert (await gateway.get("/api/x", headers=_token("acme", "ada", "gold"))).status_code == 429
        reset = await gateway.admin.delete("/quotas", params={"consumer": "ada", "tenant": "acme"})
        assert [each["forgiven"] for each in reset.json()["reset"]] == [2]
        assert (await gateway.get("/api/x", headers=_token("acme", "ada", "gold"))).status_code == 307


async def test_the_quota_of_a_caller_is_shown_below_the_base_path_too(tmp_path: Path) -> None:
    """As a proxy passes it on that keeps the base path; and explained so."""
    (tmp_path / "auth.yaml").write_text(AUTH)
    async with running(tmp_path, ROUTES, QUOTAS) as gateway:
        for path in ("/quota", "/api/quota"):
            daily = (await gateway.get(path, headers=KEY)).json()["quotas"][0]
            assert (daily["name"], daily["limit"], daily["remaining"]) == ("daily", 2, 2)
            explained = (await gateway.admin.get("/explain", params={"url": path})).json()
            assert "the rest of the caller's quotas" in str(explained)


def test_the_command_shows_and_resets(tmp_path: Path) -> None:
    """A table for people; the change is in the audit log with what was asked."""
    with running_gateway(tmp_path, ROUTES, QUOTAS + "audit_log: {file: audit.jsonl}\n", AUTH) as running:
        assert httpx2.get(f"{running.url}/api/x", headers=KEY).status_code == 307
        admin = ("--admin", f"127.0.0.1:{running.admin_port}")
        shown = cli("quota", "show", "acme", *admin, "--quota", "daily").stdout
        assert shown.splitlines()[1].split()[:5] == ["daily", "-", "1", "2", "1"]
        token = {"GATEWAY_ADMIN_TOKEN": running.admin_token["authorization"].removeprefix("Bearer ")}
        done = cli("quota", "reset", "acme", *admin, "--quota", "daily", environment=token)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "reset: daily, of which 1 were used\n"
        until(lambda: "/quotas?consumer=acme" in (running.directory / "audit.jsonl").read_text())


async def test_without_quotas_it_is_said_what_to_write(tmp_path: Path) -> None:
    """As an answer, which the command shows."""
    async with running(tmp_path, ROUTES) as gateway:
        for call in (gateway.admin.get, gateway.admin.delete):
            answer = await call("/quotas", params={"consumer": "acme"})
            assert answer.status_code == 404
            assert "such as quotas: {daily: {limit: 1000, window: day}}" in answer.json()["error"]
