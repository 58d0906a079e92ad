"""`gateway control-plane token new`: what it prints, pasted, lets its holder in."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from gateway.cli import main
from tests.control_plane.support import client_of, control_plane

NEW = ["control-plane", "token", "new"]


async def test_what_it_prints_is_pasted_and_lets_its_holder_in(tmp_path: Path) -> None:
    """With its role in its environments, and no other."""
    arguments = ["--name", 'ci: "deploys"', "--role", "deployer", "--environment", "staging"]
    printed = CliRunner().invoke(main, [*NEW, *arguments]).output
    _, token, _, auth, _, settings, _ = _parts(printed)
    (tmp_path / "auth.yaml").write_text(auth)
    async with (
        control_plane(tmp_path, settings) as plane,
        client_of(plane, {"authorization": f"Bearer {token}"}) as client,
    ):
        assert (await client.get("/api/v1/environments")).status_code == 200
        refused = await client.post("/api/v1/environments", json={"name": "a", "displayName": "A"})
    assert refused.status_code == 403
    assert (
        'ci: "deploys" needs the role admin in all environments, and has: deployer in staging'
        in refused.json()["detail"]
    )


def test_for_machines_it_prints_the_same_as_json() -> None:
    """Every token is another one."""
    first, second = (json.loads(CliRunner().invoke(main, [*NEW, "--name", "ci", "--json"]).output) for _ in range(2))
    assert first.keys() == {"name", "token", "hash", "role", "environments"}
    assert first["token"] != second["token"]


def _parts(printed: str) -> list[str]:
    return [part.strip() for part in printed.split("\n\n")]
