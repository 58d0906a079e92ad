"""Gateways that run their own files: shown, kept, adopted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.bundles import Bundle
from gateway.control_plane import drift
from gateway.control_plane.database.tables import GatewayInstance, now
from gateway.control_plane.problems import Problem
from tests.control_plane.rolling_support import Fleet, in_force, rolling_fleet, routes


def bundle(port: int) -> Bundle:
    return Bundle({name: text.encode() for name, text in routes(port).items()})


async def edited(fleet: Fleet, port: int, name: str = "a", seconds: float = 120) -> Bundle:
    """The files of a gateway were edited that long ago."""
    files = bundle(port)
    async with fleet.plane.database.transaction() as session:
        row = await session.get(GatewayInstance, (fleet.gateways[name], "one"))
        assert row is not None
        row.revision, row.source = files.digest, "local file"
        row.drifted_since = now() - timedelta(seconds=seconds)
    return files


async def upload(fleet: Fleet, files: Bundle, name: str = "a") -> str:
    organization = next(iter(fleet.plane.organizations.values()))
    return await drift.uploaded(fleet.plane, organization, fleet.gateways[name], files)


async def test_drift_is_shown_with_what_is_different(tmp_path: Path, database_url: str) -> None:
    """A gateway whose files were edited drifts after a minute; once they are known, the diff says what it is."""
    async with rolling_fleet(tmp_path, database_url) as fleet:
        good = await in_force(fleet, 1)
        path = f"gateways/{fleet.gateways['a']}/drift"
        assert (await fleet.get(path))["drift"] is False
        files = await edited(fleet, 2, seconds=30)
        assert (await fleet.get(path))["drift"] is False
        await edited(fleet, 2)
        found = await fleet.get(path)
        assert (found["drift"], found["wanted"], found["known"], found["policy"]) == (True, good, False, "report")
        assert found["instances"][0]["source"] == "local file"
        assert await upload(fleet, files) == files.digest
        found = await fleet.get(path)
        assert found["known"]
        assert [(each["where"], each["after"]) for each in found["changes"]] == [
            ('routes["/"].target', '"http://127.0.0.1:2"')
        ]
        listed = await fleet.get(f"environments/{fleet.environment}/drift")
        assert {each["name"]: each["drift"] for each in listed["gateways"]} == {"a": True, "b": False, "c": False}


async def test_report_changes_nothing(tmp_path: Path, database_url: str) -> None:
    """Where drift is only reported, uploaded files are not deployed."""
    async with rolling_fleet(tmp_path, database_url) as fleet:
        good = await in_force(fleet, 1)
        await upload(fleet, await edited(fleet, 2))
        await fleet.turns(2)
        assert (await fleet.get(f"gateways/{fleet.gateways['a']}/drift"))["wanted"] == good


async def test_adopted_by_policy(tmp_path: Path, database_url: str) -> None:
    """Where the environment adopts, what the gateway runs becomes what is wanted of it, and of no other."""
    async with rolling_fleet(tmp_path, database_url) as fleet:
        good = await in_force(fleet, 1)
        path = f"/api/v1/environments/{fleet.environment}/delivery"
        assert (await fleet.client.put(path, json={"driftPolicy": "adopt"})).status_code == 200
        files = await edited(fleet, 2)
        await upload(fleet, files)
        await fleet.turns(2)
        assert (await fleet.get(f"gateways/{fleet.gateways['a']}/drift"))["wanted"] == files.digest
        assert await fleet.running() == {"a": files.digest, "b": good, "c": good}
        assert "drift.adopt" in str(await fleet.get("audit"))


async def test_adopted_by_hand(tmp_path: Path, database_url: str) -> None:
    """A person may adopt what was reported; what there is nothing of is refused."""
    async with rolling_fleet(tmp_path, database_url) as fleet:
        await in_force(fleet, 1)
        path = f"gateways/{fleet.gateways['a']}/drift/adopt"
        await fleet.post(path, 409)
        files = await edited(fleet, 2)
        await fleet.post(path, 409)
        await upload(fleet, files)
        assert (await fleet.post(path, 200))["wanted"] == files.digest


async def test_a_rollout_goes_before_adoption(tmp_path: Path, database_url: str) -> None:
    """While a rollout is under way at a gateway, nothing of its own is adopted."""
    async with rolling_fleet(tmp_path, database_url) as fleet:
        await in_force(fleet, 1)
        await upload(fleet, await edited(fleet, 2))
        digest = await fleet.push(3)
        await fleet.post(f"environments/{fleet.environment}/rollouts", revision=digest, wait="1h")
        await fleet.turns(3)
        await edited(fleet, 2)
        await fleet.post(f"gateways/{fleet.gateways['a']}/drift/adopt", 409)


async def test_local_files_with_a_secret_are_not_kept(tmp_path: Path, database_url: str) -> None:
    """What a revision must not have is not taken from a gateway either."""
    async with rolling_fleet(tmp_path, database_url) as fleet:
        files = Bundle({**bundle(2).files, "middleware.yaml": b"redis: {url: 'redis://u:sekret-sekret@c:1'}\n"})
        with pytest.raises(Problem, match="a secret is in plain text") as refused:
            await upload(fleet, files)
        assert "sekret-sekret" not in refused.value.detail
        assert (await fleet.get("revisions"))["total"] == 0
