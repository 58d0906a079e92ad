"""Who may ask the control plane: by auth.yaml and roles, or by the token of this machine."""

from __future__ import annotations

import asyncio
import json
import time
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.admin.listening import Listening
from gateway.config.problems import ConfigError
from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import AuditRecord
from gateway.control_plane.refusals import UNKNOWN, Refusals
from gateway.control_plane.rules import TOKEN_FILE
from tests.control_plane.access_support import ORGANIZATION, asking

KEY = "gw_an-api-key-of-alice-for-these-tests"
AUTH = f"""
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}, passwords: {{basic: {{}}}}}}
consumers:
- {{name: alice, groups: [platform], keys: ["sha256:{sha256(KEY.encode()).hexdigest()}"]}}
- {{name: bob, keys: ["sha256:{sha256((KEY + "b").encode()).hexdigest()}"]}}
"""
ROLES = "roles:\n- {role: deployer, groups: [platform], environments: [staging]}\n"


PATH = "/api/v1/environments"


async def test_without_an_auth_yaml_the_token_of_this_machine_may_do_everything(tmp_path: Path) -> None:
    """It is in a file that only its owner can read; other callers are refused, also for reading."""
    async with asking(tmp_path, {}) as client:
        file = tmp_path / "state" / TOKEN_FILE
        assert file.stat().st_mode & 0o077 == 0
        refused = await client.get(PATH)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert str(file) in refused.json()["detail"]
        assert refused.json()["message"] == refused.json()["detail"]
        answer = await client.get(PATH, headers={"authorization": f"Bearer {file.read_text().strip()}"})
    assert answer.json()["name"] == "local"
    assert answer.json()["roles"] == {"*": "admin"}


async def test_without_an_auth_yaml_it_listens_to_this_machine_only(tmp_path: Path) -> None:
    """Otherwise the whole network would be asked for a token that lies on one machine."""
    with pytest.raises(ConfigError, match=r"auth\.yaml: the file does not exist"):
        async with asking(tmp_path, {}, Listening("0.0.0.0", 9010)):
            pass


@pytest.mark.parametrize("headers", [{"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}])
async def test_a_key_of_auth_yaml_is_its_consumer_with_its_roles(tmp_path: Path, headers: dict[str, str]) -> None:
    """In the header of the scheme, or as a bearer token, as commands send it."""
    async with asking(tmp_path, {"auth.yaml": AUTH, "control-plane.yaml": ROLES}, Listening("0.0.0.0", 9010)) as client:
        answer = await client.post(PATH, headers=headers, content=b"all of it")
    assert answer.json() == {"name": "alice", "roles": {"staging": "deployer"}, "body": "all of it"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-api-key": "no"}, 401),
        ({"authorization": f"Bearer {KEY}x"}, 401),
        ({"authorization": "Basic x"}, 401),
        ({"authorization": "Bearer \xff"}, 401),
        ({"x-api-key": KEY + "b"}, 403),
    ],
)
async def test_who_is_not_known_or_has_no_role_is_refused(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """By an answer that repeats no credential."""
    async with asking(tmp_path, {"auth.yaml": AUTH, "control-plane.yaml": ROLES}) as client:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = await client.get(PATH, headers=encoded)
    assert answer.status_code == status
    assert KEY not in answer.text
    assert headers or "send one that auth.yaml knows, such as Authorization: Bearer KEY" in answer.json()["detail"]
    assert answer.json()["status"] == status


async def test_the_token_of_this_machine_means_nothing_where_there_is_an_auth_yaml(tmp_path: Path) -> None:
    """Who may call stands in one place."""
    (tmp_path / "state").mkdir()
    async with asking(tmp_path, {}):
        token = (tmp_path / "state" / TOKEN_FILE).read_text().strip()
    async with asking(tmp_path, {"auth.yaml": AUTH, "control-plane.yaml": ROLES}) as client:
        assert (await client.get(PATH, headers={"authorization": f"Bearer {token}"})).status_code == 401


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (ROLES, "may administer anything; give one the role admin"),
        ("roles: [{role: admin, groups: [platform], environments: [staging]}]", "may make environments, or read"),
        ("roles: [{role: admin, groups: [platform]}, {role: viewer, groups: [a], organization: b}]", "organization b"),
        ("roles: [{role: admin, groups: [platform]}]", ""),
    ],
)
async def test_a_warning_says_that_there_is_no_administrator(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, roles: str, said: str
) -> None:
    """At the start: the token of this machine is no longer valid, and there is no other administrator."""
    async with asking(tmp_path, {"auth.yaml": AUTH, "control-plane.yaml": roles}):
        warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == bool(said)
    assert said in "".join(warnings)


@pytest.mark.parametrize(
    ("auth", "settings", "said"),
    [
        ("mode: shadow\n" + AUTH, ROLES, r"auth\.yaml:1:\d+: mode: the control plane has no shadow mode"),
        ("consumers: []", ROLES, r"auth\.yaml:1:\d+: there is no scheme"),
        (AUTH, "", r"control-plane\.yaml:1:1: roles: no consumer of auth\.yaml has a role"),
        (AUTH + "\nwrong: 1", ROLES, r"auth\.yaml:\d+:1: wrong: unknown key"),
        (AUTH, "roles: [{role: boss, consumers: [x]}]", r"control-plane\.yaml:1:\d+: roles\[0\]\.role"),
    ],
)
async def test_files_that_would_admit_all_or_no_callers_are_refused_with_their_place(
    tmp_path: Path, auth: str, settings: str, said: str
) -> None:
    """At the start."""
    with pytest.raises(ConfigError, match=said):
        async with asking(tmp_path, {"auth.yaml": auth, "control-plane.yaml": settings}):
            pass


async def test_a_key_that_is_taken_out_of_auth_yaml_holds_no_longer_without_a_restart(tmp_path: Path) -> None:
    """And while the file cannot be read, all stays as it was."""
    async with asking(tmp_path, {"auth.yaml": AUTH, "control-plane.yaml": ROLES}) as client:
        (tmp_path / "auth.yaml").write_text("schemes: [")
        await asyncio.sleep(2)
        assert (await client.get(PATH, headers={"x-api-key": KEY})).status_code == 200
        (tmp_path / "auth.yaml").write_text(AUTH.replace("alice", "carol").replace("groups: [platform], ", ""))
        until = time.monotonic() + 30
        while (await client.get(PATH, headers={"x-api-key": KEY})).status_code == 200:
            assert time.monotonic() < until
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:9010"}, 421),
        ({"host": "localhost:9010"}, 200),
        ({"host": "[::1]:9010"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9010"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
async def test_pages_of_other_sites_get_nothing(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    """Neither by another name for this machine, nor with a form, nor with a script, even with the token."""
    async with asking(tmp_path, {}) as client:
        token = (tmp_path / "state" / TOKEN_FILE).read_text().strip()
        answer = await client.post(PATH, headers={"authorization": f"Bearer {token}", **headers})
    assert answer.status_code == status


async def test_what_gateways_ask_is_left_to_their_tokens(tmp_path: Path) -> None:
    """They are no callers of the API."""
    async with asking(tmp_path, {}) as client:
        answer = await client.post("/api/internal/v1/gateways/x/heartbeat", headers={"host": "control-plane.internal"})
    assert answer.json()["name"] is None


async def test_answers_have_security_headers_for_browsers(tmp_path: Path) -> None:
    """Also refusals."""
    async with asking(tmp_path, {}) as client:
        answer = await client.get(PATH)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-frame-options"] == "DENY"


async def test_a_refused_write_is_in_the_audit_log_and_a_refused_look_is_not(
    tmp_path: Path, database: Database
) -> None:
    """With the caller, where there is one."""
    async with asking(
        tmp_path, {"auth.yaml": AUTH, "control-plane.yaml": ROLES}, refusals=Refusals(database, ORGANIZATION)
    ) as client:
        await client.get(PATH)
        await client.delete(PATH + "/x", headers={"x-api-key": "wrong"})
    async with database.transaction() as session:
        lines = [json.loads(line) for line in await session.scalars(select(AuditRecord.line))]
    [line] = lines
    assert (line["who"], line["action"], line["subject"], line["outcome"]) == (
        "unknown",
        "DELETE",
        PATH + "/x",
        "refused",
    )
    assert line["details"]["status"] == 401
    assert line["details"]["client"] == "127.0.0.1"
    assert "wrong" not in json.dumps(line)


async def test_behind_a_trusted_proxy_the_client_is_who_it_says(tmp_path: Path, database: Database) -> None:
    """Otherwise everybody would be the proxy, in the audit log and where wrong tokens are counted; others may say
    nothing of the kind."""
    files = {"auth.yaml": f"trusted_proxies: [127.0.0.1]\n{AUTH}", "control-plane.yaml": ROLES}
    forwarded = {"x-forwarded-for": "192.0.2.7"}
    async with asking(tmp_path, files, refusals=Refusals(database, ORGANIZATION)) as client:
        await client.post(PATH, headers=forwarded)
    async with asking(tmp_path, {**files, "auth.yaml": AUTH}, refusals=Refusals(database, ORGANIZATION)) as client:
        await client.post(PATH, headers=forwarded)
    async with database.transaction() as session:
        lines = list(await session.scalars(select(AuditRecord.line).order_by(AuditRecord.number)))
    assert [json.loads(line)["details"]["client"] for line in lines] == ["192.0.2.7", "127.0.0.1"]


async def test_a_flood_of_unknown_callers_fills_no_audit_log(tmp_path: Path, database: Database) -> None:
    """What is more than so many in a minute is counted, and the next record says how many those were."""
    now = 0
    refusals = Refusals(database, ORGANIZATION, lambda: now)
    async with asking(tmp_path, {}, refusals=refusals) as client:
        for _ in range(UNKNOWN.limit + 20):
            await client.post(PATH)
        now = 60 * 10**9
        await client.post(PATH)
    async with database.transaction() as session:
        lines = list(await session.scalars(select(AuditRecord.line).order_by(AuditRecord.number)))
    assert len(lines) == UNKNOWN.limit + 1
    assert json.loads(lines[-1])["details"]["left_out_before"] == 20
