"""`gateway control-plane serve` and `migrate`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner, Result

from gateway.control_plane.commands import control_plane
from gateway.control_plane.listening import bound, listen
from gateway.control_plane.rules import TOKEN_FILE
from tests.support import free_port, until

COMMAND = (sys.executable, "-m", "gateway.cli", "control-plane")


def _run(*arguments: str, directory: Path) -> Result:
    """In this process, which starts faster."""
    return CliRunner().invoke(control_plane, [*arguments, "--config", str(directory)])


@contextmanager
def _served(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx2.Client]]:
    port = free_port()
    command = (*COMMAND, "serve", "--config", str(directory), "--port", str(port))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            until(lambda: _answers(client), 40)
            token = (directory / "state" / TOKEN_FILE).read_text().strip()
            client.headers["authorization"] = f"Bearer {token}"
            yield process, client
    finally:
        process.kill()
        process.wait()


def _answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/ready").status_code == 204
    except httpx2.HTTPError:
        return False


def test_what_was_made_outlives_the_process(tmp_path: Path) -> None:
    """What one has answered that is killed then is there for the other one of its directory, which ends with 0."""
    body = {"name": "production", "displayName": "Production"}
    with _served(tmp_path) as (first, client), _served(tmp_path) as (second, other):
        assert client.post("/api/v1/environments", json=body).status_code == 201
        assert other.get("/api/v1/environments").json()["total"] == 1
        first.kill()
        assert other.post("/api/v1/environments", json=body | {"name": "staging"}).status_code == 201
        assert other.get("/api/v1/environments").json()["total"] == 2
        os.kill(second.pid, signal.SIGTERM)
        assert second.wait(20) == 0
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def test_errors_have_their_places(tmp_path: Path) -> None:
    """All errors of control-plane.yaml are said at once, with line and column, and nothing is made."""
    text = "gateway:\n  adapter:\n    type: cloudy\n    onPremise:\n      defaultTimeout: soon\nnetwork: [private]\n"
    (tmp_path / "control-plane.yaml").write_text(text)
    ended = _run("serve", directory=tmp_path)
    assert ended.exit_code == 1
    assert "control-plane.yaml:3:5: gateway.adapter.type: " in ended.stderr
    assert "control-plane.yaml:5:7: gateway.adapter.onPremise.defaultTimeout: " in ended.stderr
    assert 'control-plane.yaml:6:1: network: unknown key, did you mean "networks"?' in ended.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "auth.yaml"),
        (("--host", "nowhere.invalid"), "cannot listen on nowhere.invalid:0"),
        (("--host", "192.0.2.1"), "name another with --host"),
        (("--database", "nonsense"), "expected postgresql://"),
        (("--database", "postgresql://me:hidden-word@127.0.0.1:1/name"), "start the database"),
    ],
)
def test_what_cannot_be_served_says_why(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """The process ends with 1 and a sentence that says what to do, without a password."""
    ended = _run("serve", "--port", "0", *arguments, directory=tmp_path)
    assert ended.exit_code == 1
    assert said in ended.stderr
    assert "hidden-word" not in ended.stderr


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path, command: str) -> None:
    """A mistyped name begins no empty control plane beside the one that is meant."""
    ended = _run(command, directory=tmp_path / "contrl")
    assert ended.exit_code == 1
    assert f"there is no directory {tmp_path / 'contrl'}; make it, or name another one with --config" in ended.stderr
    assert not (tmp_path / "contrl").exists()


def test_a_database_can_be_brought_up_to_date(tmp_path: Path) -> None:
    """`migrate` says at which step the database is, and can be repeated; `serve` refuses one that is behind."""
    database = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    refused = _run("serve", "--port", "0", "--database", database, directory=tmp_path)
    assert refused.exit_code == 1
    assert "gateway control-plane migrate" in refused.stderr
    for _ in range(2):
        ended = _run("migrate", "--database", database, directory=tmp_path)
        assert (ended.exit_code, ended.stdout.startswith("the database is at step ")) == (0, True)


def test_a_host_with_several_addresses_is_listened_on(tmp_path: Path) -> None:
    """`localhost` is both loopback addresses, where the machine has both, on one port; only one process has it."""
    with bound("localhost", 0) as listeners:
        listen(listeners)
        ports = {listener.getsockname()[1] for listener in listeners}
        assert len(ports) == 1
        for listener in listeners:
            socket.create_connection(listener.getsockname()[:2]).close()
        ended = _run("serve", "--port", str(ports.pop()), directory=tmp_path)
    assert ended.exit_code == 1
    assert "cannot listen on 127.0.0.1" in ended.stderr
