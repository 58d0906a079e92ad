"""Commands on a terminal, and what they read without end."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.admin.status_commands import CLEAR
from gateway.cli import main
from gateway.cli.terminal import Terminal

RED = "\x1b[31m"


def test_names_give_a_terminal_no_orders(tmp_path: Path) -> None:
    """Control characters of a name are shown; a pipe gets the same line without a change to its letters."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gateway.cli", "check", "--config", str(tmp_path / f"a{RED}b")]
    assert subprocess.run(command, stdout=theirs, stderr=theirs, check=False, timeout=60).returncode == 1
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "a\\x1b[31mb; create it" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("command", ["status", "reload", "last", "explain GET /x --running"])
def test_a_gateway_that_does_not_answer_is_said_in_json(command: str) -> None:
    """A program that reads --json gets the error as JSON, and the exit code; people get it on the standard error."""
    result = CliRunner().invoke(main, [*command.split(), "--json", "--admin", "127.0.0.1:1"])
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert "the admin API does not answer at 127.0.0.1:1" in answer["errors"][0]
    assert "error: the admin API does not answer" in result.stderr


@pytest.mark.parametrize("command", ["test {}", "import {} --output {}/../out", "init --config out --from {}"])
def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path, command: str) -> None:
    """It is larger than any configuration, which is an error."""
    link = tmp_path / "zero"
    link.symlink_to("/dev/zero")
    result = CliRunner().invoke(main, command.replace("{}", str(link)).split())
    assert result.exit_code == 1
    assert "16 MiB" in result.output


def test_a_screen_of_top_is_cleared() -> None:
    """The one order that is ours reaches the terminal at the beginning of a text, and nowhere else."""
    raw = io.BytesIO()
    terminal = Terminal(raw, encoding="utf-8", write_through=True)
    terminal.write(f"{CLEAR}a{CLEAR}\tb\n")
    assert raw.getvalue() == CLEAR.encode() + b"a\\x1b[H\\x1b[2J\tb\n"
