"""`gateway agents status`: what bridges have written, and what else may be in its place."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from gateway.agents.standing import status_path
from gateway.agents.status import read_all
from gateway.cli import main

ENDED = {"at": 1, "state": "ended", "hostname": "acme-router", "gateway": "the admin API", "peers": []}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"at": "x", "pid": 1, "state": "connected"}',
        '{"at": 1, "pid": [1], "hostname": "acme-router", "peers": [{}], "problems": [], "gateway": ""}',
        '{"at": 1, "pid": 1, "hostname": "acme-router", "peers": 7, "problems": 7, "gateway": ""}',
    ],
)
def test_what_is_no_status_is_as_none(tmp_path: Path, text: str) -> None:
    """The command says that no bridge has run, and shows no traceback."""
    status_path(tmp_path, "router").write_text(text)
    assert read_all(tmp_path, ["router"]) == []


@pytest.mark.parametrize(
    ("middleware", "state", "guessed"),
    [
        ("agents: {prefx: acme}\n", "state", False),
        ("agents: {prefx: acme}\nstate_directory: kept\n", "kept", False),
        ("agents: {prefx: acme}\nstate_directory: ${STATUS_TEST:-kept}\n", "kept", False),
        ("agents: {prefx: acme}\nstate_directory: ${STATUS_TEST}\n", "state", True),
        ("agents: {prefx: acme}\nstate_directory: [kept]\n", "state", True),
        ("agents: {prefx: acme\nstate_directory: kept\n", "state", True),
        ("[]\n", "state", False),
    ],
)
def test_an_error_of_the_configuration_hides_no_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, middleware: str, state: str, guessed: bool
) -> None:
    """It is said beside what the state directory has, and so is a directory that is only the default."""
    monkeypatch.delenv("STATUS_TEST", raising=False)
    (tmp_path / "middleware.yaml").write_text(middleware)
    path = status_path(tmp_path / state / "agents", "router")
    path.parent.mkdir(parents=True)
    path.write_bytes(orjson.dumps(ENDED))
    done = CliRunner().invoke(main, ["agents", "status", "--config", str(tmp_path)])
    assert (done.exit_code, done.stdout.splitlines()) == (
        2,
        ["acme-router is ended (no node; the gateway by the admin API)"],
    )
    assert "Error: middleware.yaml:" in done.stderr
    assert f"what follows is from {path.parent}" in done.stderr
    assert ("state_directory cannot be read" in done.stderr) is guessed
