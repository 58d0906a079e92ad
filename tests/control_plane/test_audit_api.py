"""Reading the audit log by the API, and detecting manipulation in the database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text, update

from gateway.cli import main
from gateway.control_plane.database.tables import AuditRecord
from gateway.control_plane.plane import Plane
from gateway.monitor.audit_chain import Link, Sealer
from tests.control_plane.support import client_of, control_plane

ENVIRONMENTS = "/api/v1/environments"
VERIFICATION = "/api/v1/audit/verification"


async def _with_changes(plane: Plane, number: int = 5) -> None:
    async with client_of(plane) as client:
        for each in range(number):
            answer = await client.post(ENVIRONMENTS, json={"name": f"stage-{each}", "displayName": "Stage"})
            assert answer.status_code == 201


async def test_changes_and_refused_ones_are_listed_the_newest_first(tmp_path: Path, database_url: str) -> None:
    """With who asked for them, and what came of it."""
    async with control_plane(tmp_path, database=database_url) as plane, client_of(plane) as client:
        await _with_changes(plane, 1)
        assert (await client.post(ENVIRONMENTS, json={"name": "stage-0", "displayName": "Stage"})).status_code == 409
        listed = (await client.get("/api/v1/audit")).json()
    refused, made = listed["records"]
    assert listed["total"] == 2
    assert (made["who"], made["action"], made["outcome"]) == ("local", "environment.create", "done")
    assert (refused["who"], refused["action"], refused["subject"]) == ("local", "POST", ENVIRONMENTS)
    assert (refused["outcome"], refused["details"]["status"]) == ("refused", 409)
    assert [refused["number"], made["number"]] == [2, 1]
    assert made["at"].endswith("Z")


async def test_attempts_of_unknown_callers_are_listed_for_the_first_organization(
    tmp_path: Path, database_url: str
) -> None:
    """Without what was shown as a credential."""
    async with control_plane(tmp_path, database=database_url) as plane:
        async with client_of(plane, {"authorization": "Bearer a-guess"}) as client:
            assert (await client.post(ENVIRONMENTS, json={})).status_code == 401
        async with client_of(plane) as client:
            [tried] = (await client.get("/api/v1/audit")).json()["records"]
    assert (tried["who"], tried["action"], tried["details"]["status"]) == ("unknown", "POST", 401)
    assert "a-guess" not in str(tried)


async def test_what_is_exported_is_what_the_command_verifies(tmp_path: Path, database_url: str) -> None:
    """The header says which record is the last one, so that a file that was cut off is known."""
    async with control_plane(tmp_path, database=database_url) as plane, client_of(plane) as client:
        await _with_changes(plane)
        exported = await client.get("/api/v1/audit/export")
        later = await client.get("/api/v1/audit/export", params={"from": 4})
    file = tmp_path / "audit.jsonl"
    file.write_bytes(exported.content)
    verify = ["audit", "verify", str(file), "--no-head", "--expect", exported.headers["audit-end"]]
    whole = CliRunner().invoke(main, verify)
    assert whole.exit_code == 0, whole.output
    assert "5 records" in whole.output
    assert len(later.content.splitlines()) == 2
    file.write_bytes(exported.content.replace(b"stage-1", b"stage-9"))
    file.write_bytes(re.sub(rb'"who":"local"', b'"who":"other"', exported.content, count=1))
    changed = CliRunner().invoke(main, verify)
    assert changed.exit_code == 1
    assert "record 1 was changed" in changed.output


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        ("UPDATE audit SET line = replace(line, 'local', 'other') WHERE number = 2", "record 2 was changed"),
        ("DELETE FROM audit WHERE number = 3", "record 3 is missing"),
        ("DELETE FROM audit WHERE number > 3", "records 4 to 5 are missing"),
        ("DELETE FROM audit", "records 1 to 5 are missing"),
        ("UPDATE audit SET line = 'x' WHERE number = 1", "is not a line of an audit log"),
    ],
)
async def test_what_is_done_to_the_log_in_the_database_is_found(
    tmp_path: Path, database_url: str, tampering: str, finding: str
) -> None:
    """A log that was not manipulated is intact; the next change does not hide it."""
    async with control_plane(tmp_path, database=database_url) as plane, client_of(plane) as client:
        await _with_changes(plane)
        before = (await client.get(VERIFICATION)).json()
        assert (before["intact"], before["records"], before["findings"]) == (True, 5, [])
        async with plane.database.transaction() as session:
            await session.execute(text(tampering))
        after = (await client.get(VERIFICATION)).json()
        assert not after["intact"]
        assert finding in " ".join(after["findings"])
        await client.post(ENVIRONMENTS, json={"name": "stage-9", "displayName": "Stage"})
        assert not (await client.get(VERIFICATION)).json()["intact"]
        assert (await client.get("/api/v1/audit")).status_code == 200


async def test_only_an_admin_of_all_environments_reads_it(tmp_path: Path, database_url: str) -> None:
    """It tells of all of them."""
    (tmp_path / "auth.yaml").write_text("schemes: {guests: {anonymous: {consumer: guest}}}\nconsumers: [{name: guest}]")
    roles = "roles: [{role: admin, consumers: [guest], environments: [staging]}]"
    async with control_plane(tmp_path, roles, database_url) as plane, client_of(plane, {}) as client:
        for path in ("/api/v1/audit", "/api/v1/audit/export", VERIFICATION):
            assert (await client.get(path)).status_code == 403


async def test_with_a_key_a_record_cannot_be_forged_by_the_database_alone(tmp_path: Path, database_url: str) -> None:
    """A line whose hash was computed anew without the key is found, by the API and by the command with the key."""
    key = "a-key-of-the-audit-log-of-these-tests"
    (tmp_path / "audit-key").write_text(key)
    settings = "audit: {key: '${file:audit-key}'}"
    async with control_plane(tmp_path, settings, database_url) as plane, client_of(plane) as client:
        await _with_changes(plane, 3)
        assert (await client.get(VERIFICATION)).json()["intact"]
        exported = await client.get("/api/v1/audit/export")
        forged, _ = Sealer().seal({"time": 1.0, "event": "change", "who": "mallory"}, Link(2, "0" * 64))
        async with plane.database.transaction() as session:
            await session.execute(
                update(AuditRecord).where(AuditRecord.number == 3).values(line=forged.decode().rstrip())
            )
        found = (await client.get(VERIFICATION)).json()
    assert "record 3 was changed" in " ".join(found["findings"])
    file = tmp_path / "audit.jsonl"
    file.write_bytes(exported.content)
    verify = ["audit", "verify", str(file), "--no-head"]
    assert CliRunner().invoke(main, [*verify, "--key-file", str(tmp_path / "audit-key")]).exit_code == 0
    assert CliRunner().invoke(main, verify).exit_code == 1
    assert key not in exported.text
