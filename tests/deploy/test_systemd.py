import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.load import load

from .programs import ROOT

UNIT = ROOT / "deploy/systemd/gateway.service"
SOCKET = ROOT / "deploy/systemd/gateway.socket"


def section(unit: Path, name: str) -> dict[str, list[str]]:
    """Every value that each key is given, in order."""
    values: dict[str, list[str]] = {}
    parser = configparser.RawConfigParser(strict=False, dict_type=dict, delimiters=("=",))
    parser.optionxform = lambda optionstr: optionstr  # type: ignore[method-assign]
    parser.read_string(unit.read_text())
    for key, value in parser[name].items():
        values.setdefault(key, []).append(value)
    return values


@pytest.fixture
def service() -> dict[str, list[str]]:
    return section(UNIT, "Service")


def test_the_socket_unit_opens_the_port_for_the_service(service: dict[str, list[str]]) -> None:
    """systemd opens the port that the service would, under the name by which the gateway knows what it is for, and
    starts the service with it; the gateway says when it is ready, and does not stay up with bad files."""
    opened = section(SOCKET, "Socket")
    arguments = service["ExecStart"][0].split()
    assert opened["ListenStream"] == [arguments[arguments.index("--port") + 1]]
    assert (opened["FileDescriptorName"], opened["Accept"]) == (["http"], ["no"])
    assert opened["Service"] == [UNIT.name]
    assert section(UNIT, "Unit")["Requires"] == [SOCKET.name]
    assert service["Type"] == ["notify"]
    assert "--strict" in arguments


def test_a_drain_ends_before_the_service_is_killed(service: dict[str, list[str]]) -> None:
    """systemd waits longer than the drain window and deadline of middleware.yaml together."""
    drain = load(ROOT, {}).middleware.drain
    assert service["KillSignal"] == ["SIGTERM"]
    assert int(service["TimeoutStopSec"][0]) > drain.window + drain.deadline


def test_there_are_descriptors_for_every_connection(service: dict[str, list[str]]) -> None:
    """The service may open two sockets for each connection that middleware.yaml allows."""
    assert int(service["LimitNOFILE"][0]) > 2 * load(ROOT, {}).middleware.limits.connections


def test_a_reload_is_a_hangup(service: dict[str, list[str]]) -> None:
    """`systemctl reload gateway` sends the signal at which the files are read again."""
    assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_the_service_may_do_nothing_that_it_need_not(service: dict[str, list[str]]) -> None:
    """The service has a user of its own, no privileges, and a file system that it cannot write to."""
    assert service["DynamicUser"] == ["yes"]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["ProtectSystem"] == ["strict"]
    assert service["CapabilityBoundingSet"] == [""]


def test_secrets_are_for_the_service_alone(service: dict[str, list[str]]) -> None:
    """Files that only root may read are handed over as credentials, from the directory that the unit says to make."""
    ((name, directory),) = (text.split(":") for text in service["LoadCredential"])
    text = UNIT.read_text()
    assert f"install -d -m 700 {directory}\n" in text
    assert f"install -m 600 redis-password {directory}/\n" in text
    assert f"${{file:/run/credentials/{UNIT.name}/{name}_redis-password}}" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not what this machine runs on")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """systemd finds nothing wrong with the unit, and little that it leaves open."""
    unit, port = tmp_path / UNIT.name, tmp_path / SOCKET.name
    unit.write_text(UNIT.read_text().replace("/opt/gateway/bin/gateway", sys.executable))
    port.write_text(SOCKET.read_text())
    for arguments in (["verify", port], ["verify"], ["security", "--offline=true", "--threshold=20"]):
        checked = subprocess.run(["systemd-analyze", *arguments, unit], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert checked.stderr == ""
