"""A gateway starts with whatever is there, says what is wrong, and is well once it is corrected."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lifecycle.support import answers, get, health
from tests.support import GatewayProcess, eventually, free_port, running_gateway, until

ROUTES = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"


async def _unready(process: GatewayProcess, error: str) -> None:
    assert get(process, "/health/live").status_code == 200
    assert get(process, "/health/ready").status_code == 503
    assert re.search(error, health(process)["errors"][0])
    refused = get(process, "/x")
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:problem-type:gateway:no-configuration")
    await eventually(lambda: re.search(error, process.log) is not None)


async def test_a_bad_configuration_is_waited_out(tmp_path: Path) -> None:
    """The process stays up but not ready, says why, and serves once the file is corrected."""
    with running_gateway(tmp_path, ROUTES + "  nonsense: 1\n", ready=False) as process:
        await _unready(process, r"routes\.yaml:4:3: routes\[0\]\.nonsense: ")
        process.write(ROUTES)
        await answers(process, "/x", "one")
        assert get(process, "/health/ready").status_code == 200


async def test_a_missing_configuration_is_waited_out(tmp_path: Path) -> None:
    """A directory that does not exist yet, as before a volume is mounted, is reported, and read once it exists."""
    process = GatewayProcess(tmp_path / "config")
    process.start(ready=False)
    try:
        await _unready(process, r"routes\.yaml: the file does not exist in .*config")
        process.directory.mkdir()
        process.write(ROUTES)
        await answers(process, "/x", "one")
    finally:
        process.stop()


async def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    """A gateway that starts in the middle of a write does not begin with half a configuration."""
    process = GatewayProcess(tmp_path / "config")
    process.directory.mkdir()
    with (process.directory / "routes.yaml").open("w") as file:
        file.write("routes:\n- path: /other\n  target: asgi:tests.lifecycle.apps:two\n")
        file.flush()
        process.start(ready=False)
        await _unready(process, r"routes\.yaml: this file is being written")
        file.write("- path: /x\n  target: asgi:tests.lifecycle.apps:one\n")
    try:
        await answers(process, "/x", "one")
    finally:
        process.stop()


def _serve(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config), "--host", "127.0.0.1"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=90, check=False)


@pytest.mark.parametrize("option", ["--port", "--admin"])
def test_a_port_in_use_is_reported_in_one_line(tmp_path: Path, option: str) -> None:
    """Which port it is and what to do is all that is said; the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"--port": str(free_port()), "--admin": f"127.0.0.1:{free_port()}"}
        ports[option] = ports[option].replace(ports[option].rpartition(":")[2], str(port))
        ended = _serve(tmp_path, *[word for pair in ports.items() for word in pair])
    assert ended.returncode == 1
    line = f"error: cannot listen on 127.0.0.1:{port}: another process uses this port"
    assert ended.stderr.startswith(line)
    assert ended.stderr.rstrip().endswith(f"choose another with {option}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_reported_in_one_line(tmp_path: Path, host: str) -> None:
    """An address of another machine, or a name that means nothing, is no traceback."""
    ended = _serve(tmp_path, "--host", host, "--port", "0", "--admin", "off")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert host in ended.stderr
    assert "--host" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_gateway_in_the_background_of_a_shell(tmp_path: Path, number: signal.Signals) -> None:
    """A shell without job control starts its background with SIGINT ignored; it works all the same."""
    process = GatewayProcess(tmp_path / "config")
    process.directory.mkdir()
    process.write(ROUTES, middleware="drain: {window: 0}")
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is ignored here stays ignored in a child
    try:
        process.start(forked=False)
    finally:
        signal.signal(signal.SIGINT, old)
    os.kill(process.pid, number)
    assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_gateway_that_does_not_serve_yet(tmp_path: Path, number: signal.Signals) -> None:
    """While policies are tried for the first time there are no clients to wait for: it ends at once, with 0."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "middleware.yaml").write_text("reload: {policy_timeout: 1m}\npolicies: {mine: {class: 'p.py:P'}}\n")
    (tmp_path / "p.py").write_text(
        "import os, time\nopen(os.path.join(os.path.dirname(__file__), 'begun'), 'w').close()\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(tmp_path), "--host", "127.0.0.1"]
    with subprocess.Popen([*command, "--port", "0", "--admin", "off"], stderr=subprocess.PIPE) as process:
        until((tmp_path / "begun").exists, 60)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"ended before anything was served" in said
