"""The command `pilotctl`: what it answers, and what becomes of it where it does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from gateway.agents.pilotctl import Pilotctl, PilotctlError
from tests.support import eventually


def command(directory: Path, script: str, within: float = 30.0) -> Pilotctl:
    """One that is a script for the shell, with a time limit in seconds."""
    path = directory / "pilotctl"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Pilotctl(str(path), "/run/pilot.sock", within)


async def test_the_data_of_an_answer_is_returned(tmp_path: Path) -> None:
    """It gets its arguments as they are, the socket by the environment, and a text on its standard input."""
    script = """printf '{"status": "ok", "data": {"said": "%s %s %s %s"}}' "$1" "$3" "$PILOT_SOCKET" "$(cat)" """
    found = await command(tmp_path, script).run("find", "$(id); x", text=b"in")
    assert found == {"said": "--json $(id); x /run/pilot.sock in"}


async def test_the_token_of_the_admin_api_is_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another project's program, which needs the rest of the environment, and nothing of the gateway."""
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "gwa_planted")
    script = """printf '{"status": "ok", "data": {"said": "%s", "home": "%s"}}' "$GATEWAY_ADMIN_TOKEN" "$HOME" """
    assert await command(tmp_path, script).run("find") == {"said": "", "home": os.environ["HOME"]}


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (
            """echo '{"status": "error", "code": "trust_required", "message": "no", "hint": "handshake"}'; exit 1""",
            "trust_required",
        ),
        ("echo nonsense", "garbled"),
        ("echo '[]'", "garbled"),
        ("""echo '{"status": "ok", "data": 7}'""", "garbled"),
        ("true", "garbled"),
        ("kill -9 $$", "garbled"),
    ],
)
async def test_what_is_no_answer_is_an_error_with_a_code(tmp_path: Path, script: str, code: str) -> None:
    """Its own code where it has one."""
    with pytest.raises(PilotctlError) as failed:
        await command(tmp_path, script).run("publish")
    assert failed.value.code == code


async def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    """After its time, and no process is left."""
    written = tmp_path / "pid"
    pilotctl = command(tmp_path, f"echo $$ > {written}; exec sleep 60", 1.0)
    for _ in range(10):  # until one has come so far within its time
        with pytest.raises(PilotctlError) as failed:
            await pilotctl.run("inbox")
        assert failed.value.code == "timeout"
        if written.exists() and written.read_text().endswith("\n"):
            break
    number = int(written.read_text())

    def is_gone() -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, 0)
            return False
        return True

    await eventually(is_gone)


async def test_one_that_is_not_there_says_where_it_is_looked_for() -> None:
    """The key of the configuration."""
    with pytest.raises(PilotctlError, match=r"agents\.pilotctl") as failed:
        await Pilotctl("/none/pilotctl", "/run/pilot.sock").run("info")
    assert failed.value.code == "missing"


@pytest.mark.parametrize(("script", "within"), [("exec cat /dev/zero", 300), ("printf x; exec sleep 600", 0.5)])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_answer_without_end_is_not_kept(
    tmp_path: Path, script: str, within: float, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """It is ended by its length, or by its time, and nothing waits for what is left of it."""

    async def run() -> None:
        with pytest.raises(PilotctlError):
            async with asyncio.timeout(60):
                await command(tmp_path, script, within).run("inbox")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())


def test_one_that_ends_before_it_is_given_its_input_fails_as_any_other(tmp_path: Path) -> None:
    """On the loop that the bridge runs on, which says so in another way than that of the standard library."""

    async def run() -> None:
        program = command(tmp_path, "exit 1")
        for _ in range(40):
            with pytest.raises(PilotctlError):
                await program.run("context", text=b"in")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
