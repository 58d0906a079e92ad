"""`gateway revisions` and `gateway rollout` against a control plane that listens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.admin.listening import Listening
from gateway.cli import main
from tests.control_plane.channel_support import an_environment, listening
from tests.control_plane.support import control_plane


@dataclass(frozen=True)
class Shell:
    """Commands of a directory, against one control plane."""

    url: str
    token: str
    directory: Path

    async def run(self, *arguments: str) -> Result:
        environment = {"GATEWAY_CONTROL_PLANE": self.url, "GATEWAY_CONTROL_PLANE_API_TOKEN": self.token}
        return await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment)

    async def ok(self, *arguments: str) -> str:
        result = await self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    async def push(self, port: int) -> str:
        (self.directory / "routes.yaml").write_text(f"routes:\n- path: /\n  target: http://127.0.0.1:{port}\n")
        return str(json.loads(await self.ok("revisions", "push", str(self.directory), "--json"))["digest"])


@pytest.fixture
async def shell(tmp_path: Path, database_url: str) -> AsyncIterator[Shell]:
    (tmp_path / "files").mkdir()
    async with control_plane(tmp_path, database=database_url) as plane:
        await an_environment(plane, "production")
        await an_environment(plane, "staging")
        async with listening(plane) as url:
            token = (plane.state / "control-plane-token").read_text().strip()
            yield Shell(url, token, tmp_path / "files")


async def test_push(shell: Shell) -> None:
    """The files of a directory become a revision without the group of the machine, and the output says so."""
    (shell.directory / "middleware.yaml").write_text("control_plane:\n  url: http://x\nredis:\n  url: ${REDIS_URL}\n")
    (shell.directory / "notes.txt").write_text("not read")
    digest = await shell.push(3001)
    output = await shell.ok("revisions", "push", str(shell.directory), "-m", "again")
    assert "warning: middleware.yaml:2:3: redis.url: the environment variable REDIS_URL is not set" in output
    assert "note: the group control_plane of middleware.yaml is not part of the revision" in output
    assert output.endswith(f"revision {digest[:12]}: 2 files; 1 warning\n")
    assert digest[:12] in await shell.ok("revisions", "list")
    assert "control_plane" not in await shell.ok("revisions", "show", digest[:12])


async def test_push_of_what_is_wrong(shell: Shell) -> None:
    """Every error is printed with its place, and the exit code says it."""
    (shell.directory / "routes.yaml").write_text("routes:\n- path: /\n  targt: x\n")
    result = await shell.run("revisions", "push", str(shell.directory))
    assert result.exit_code == 1
    assert 'error: routes.yaml:3:3: routes[0].targt: unknown key, did you mean "target"?' in result.output
    empty = await shell.run("revisions", "push", str(shell.directory.parent / "state"))
    assert "there is no configuration" in empty.output


async def test_check_only(shell: Shell) -> None:
    """A check alone keeps nothing."""
    (shell.directory / "routes.yaml").write_text("routes:\n- path: /\n  target: http://127.0.0.1:3001\n")
    assert (await shell.ok("revisions", "push", str(shell.directory), "--check")).startswith("ok, would be revision")
    assert json.loads(await shell.ok("revisions", "list", "--json"))["total"] == 0


async def test_rollout_until_it_is_done(shell: Shell) -> None:
    """A rollout is begun, watched to its end, listed, and is then what the environment's name stands for."""
    first = await shell.push(3001)
    output = await shell.ok("rollout", "start", "production", first[:12], "--watch")
    assert f"{first[:12]} to production: done" in output
    second = await shell.push(3002)
    await shell.ok("rollout", "start", "production", second, "--canary", "50%", "--wait", "0s", "--watch")
    assert second[:12] in await shell.ok("rollout", "list", "production")
    diff = await shell.run("revisions", "diff", first, "production")
    assert diff.exit_code == 1
    assert '~ routes.yaml routes["/"].target: "http://127.0.0.1:3001" -> "http://127.0.0.1:3002"' in diff.output
    assert (await shell.run("revisions", "diff", "production", second)).exit_code == 0
    await shell.ok("revisions", "promote", "production", "staging", "--watch")
    await shell.ok("revisions", "rollback", "production", "--watch")
    assert (await shell.ok("revisions", "diff", "production", first)) == "the same\n"
    assert "http://127.0.0.1:3002" in await shell.ok("revisions", "show", "staging")
    assert (await shell.ok("rollout", "status", "production")).startswith(f"{first[:12]} to production: done")
    assert "GATEWAY" in await shell.ok("rollout", "drift", "production")


async def test_what_is_refused(shell: Shell) -> None:
    """A reason on standard error, and exit code 1: never a traceback."""
    digest = await shell.push(3001)
    for arguments, reason in (
        (("rollout", "start", "nowhere", digest), "there is no environment nowhere"),
        (("revisions", "diff", "ed09", digest), "ed09 is neither a revision, of which 6 digits"),
        (("rollout", "start", "production", "0" * 64), "there is no revision 000"),
        (("rollout", "start", "production", digest, "--wait", "soon"), "wait: expected a duration"),
        (("rollout", "start", "production", digest, "--canary", "many"), "canary: expected a number of gateways"),
        (("rollout", "pause", "production"), "there was no rollout to production yet"),
        (("revisions", "rollback", "production"), "nothing was in force in production before"),
        (("revisions", "show", "production"), "no revision is in force in production yet"),
    ):
        result = await shell.run(*arguments)
        assert result.exit_code == 1, result.output
        assert reason in result.output


async def test_without_a_token(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the token is missing or wrong, it is said how to give one; on this machine it is found in its file."""
    wrong = Shell(shell.url, "wrong", shell.directory)
    result = await wrong.run("revisions", "list")
    assert result.exit_code == 1
    assert "GATEWAY_CONTROL_PLANE_API_TOKEN" in result.output
    assert Listening("127.0.0.1", 0).loopback
    monkeypatch.setenv("GATEWAY_CONTROL_PLANE_CONFIG", str(shell.directory.parent))
    found = await asyncio.to_thread(
        CliRunner().invoke, main, ["revisions", "list"], env={"GATEWAY_CONTROL_PLANE": shell.url}
    )
    assert found.exit_code == 0, found.output


async def test_no_control_plane_there(shell: Shell) -> None:
    """What is not there, or is something else, is named with its address."""
    result = await Shell("http://127.0.0.1:1", "x", shell.directory).run("revisions", "list")
    assert result.exit_code == 1
    assert "does not answer at http://127.0.0.1:1" in result.output
