"""Manifests and printed steps: what the text of the setup has, and what today's commands take."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from gateway.agents.flows import ALERTS, EXTERNAL, FLOWS, hostname_of, peers_of
from gateway.agents.manifests import JUSTIFICATION, manifest, manifest_text, setup_lines
from gateway.cli import main
from gateway.roles import Role

SEED = (Path(__file__).parent / "data" / "api-gateway-manager.txt").read_text()
ROLES: tuple[Role, ...] = get_args(Role)


def _template(role: str) -> str:
    found = re.search(rf"^{role}\n(\{{.*?^\}})", SEED, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("role", ROLES)
def test_a_manifest_is_the_template_with_its_prefix(role: Role) -> None:
    """To the byte."""
    assert manifest_text(role, "acme") == _template(role).replace("<prefix>", "acme") + "\n"
    printed = CliRunner().invoke(main, ["agents", "manifest", "--role", role, "--prefix", "acme"])
    assert printed.output == manifest_text(role, "acme")


@pytest.mark.parametrize("role", ROLES)
def test_the_flows_are_those_of_the_manifests(role: Role) -> None:
    """What a role may send to whom, and from whom it hears what; and with whom it shakes hands."""
    described = manifest(role, "acme")
    ours = {("send", hostname_of("acme", flow.receiver), flow.topic) for flow in FLOWS if flow.sender == role}
    ours |= {("receive", hostname_of("acme", flow.sender), flow.topic) for flow in FLOWS if flow.receiver == role}
    ours |= {("send", EXTERNAL, ALERTS)} if role == "monitor" else set()
    assert {(flow["direction"], flow["peer"], flow["topic"]) for flow in described["data_flows"]} == ours
    assert sorted(described["handshakes_needed"]) == sorted(peers_of(role, "acme").values())


def _write(home: Path, role: str, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        main, ["agents", "manifest", "--role", role, "--prefix", "acme", "--write", *more], env={"HOME": str(home)}
    )
    return done.exit_code, done.output


def test_a_manifest_is_written_once(tmp_path: Path) -> None:
    """For its owner only, and never over one that was edited, or another role's, without being told to."""
    path = tmp_path / ".pilot/setups/api-gateway-manager.json"
    assert _write(tmp_path, "router") == (0, f"{path} is written\n")
    assert (path.read_text(), path.stat().st_mode & 0o777) == (manifest_text("router", "acme"), 0o600)
    assert _write(tmp_path, "router") == (0, f"{path} is there already\n")
    path.write_text("{}")
    code, printed = _write(tmp_path, "router")
    assert (code, "--force replaces it" in printed, path.read_text()) == (1, True, "{}")
    assert _write(tmp_path, "router", "--force")[0] == 0
    assert json.loads(path.read_text())["role"] == "router"
    code, printed = _write(tmp_path, "auth")
    assert (code, "a HOME of its own" in printed) == (1, True)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    """What it leads to stays as it is."""
    path = tmp_path / ".pilot/setups/api-gateway-manager.json"
    path.parent.mkdir(parents=True)
    (tmp_path / "other").write_text("mine")
    path.symlink_to(tmp_path / "other")
    assert _write(tmp_path, "router", "--force")[0] == 1
    assert (tmp_path / "other").read_text() == "mine"


@pytest.mark.parametrize("role", ROLES)
def test_the_printed_steps_are_commands_of_today(role: Role) -> None:
    """One skill at a time, data of what is published by its flag, and the daemon's own name and socket throughout."""
    commands = [shlex.split(line, comments=True) for line in setup_lines(role, "acme") if line]
    commands = [command for command in commands if command]
    skills = [command[2:] for command in commands if command[:2] == ["clawhub", "install"]]
    assert skills == [[skill] for skill in manifest(role, "acme")["skills"]]
    shaken = [command[3:] for command in commands if command[:3] == ["pilotctl", "--json", "handshake"]]
    assert shaken == [[peer, JUSTIFICATION] for peer in manifest(role, "acme")["handshakes_needed"]]
    for command in commands:
        if command[:3] == ["pilotctl", "--json", "publish"]:
            assert command[5] == "--data"
            assert json.loads(command[6])
    sockets = [command[command.index("--socket") + 1] for command in commands if "--socket" in command]
    daemon = next(command for command in commands if command[0] == "pilot-daemon")
    assert {"-no-eventstream", "-strict-dataplane-trust", "-no-skillinject", "-telemetry-url"} <= set(daemon)
    assert daemon[daemon.index("-hostname") + 1] == f"acme-{role}"
    assert sockets == [daemon[daemon.index("-socket") + 1]] * 2


@pytest.mark.parametrize("arguments", [["--role", "gateway"], ["--role", "auth", "--prefix", "A b"], []])
def test_a_wrong_role_or_prefix_is_said(arguments: list[str]) -> None:
    """With what is right."""
    done = CliRunner().invoke(main, ["agents", "setup", *arguments])
    assert done.exit_code == 2
    assert "Error" in done.output


def test_the_software_of_the_network_is_no_part_of_the_gateway() -> None:
    """Nothing imports it, and nothing of the data plane imports the bridge."""
    code = (
        "import sys, gateway.server.run\n"
        "print([name for name in sys.modules if 'pilot' in name or name.startswith('gateway.agents')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    project = (Path(__file__).parent.parent.parent / "pyproject.toml").read_text()
    assert "pilotprotocol" not in project.partition("[tool.ruff]")[0]
