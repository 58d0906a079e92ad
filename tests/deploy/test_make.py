import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .programs import ROOT, require

pytestmark = pytest.mark.xdist_group("the ports of make run")

PORTS = (9000, 9001, 9003, 9005, 9008)


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture
def free_ports() -> None:
    """The ports that `make run` uses, which are no choice of the test's."""
    taken = [port for port in PORTS if not is_free(port)]
    if taken and os.environ.get("CI") == "true":
        pytest.fail(f"something listens on {taken}, which `make run` uses")
    if taken:
        pytest.skip(f"something listens on {taken}, which `make run` uses")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout that shares its installed virtual environment."""
    files = ("routes.yaml", "middleware.yaml", "auth.yaml", "hosts")
    for name in ("Makefile", "pyproject.toml", "constraints.txt", *files):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "gateway").symlink_to(ROOT / "gateway")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def running(free_ports: None, checkout: Path) -> Iterator[subprocess.Popen[str]]:
    """`make run`, with its virtual environment taken for installed."""
    command = [require("make"), "--old-file=.venv/.runnable", "run"]
    process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True, start_new_session=True)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def curl_lines(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    """The commands that `make run` tells a newcomer to try, patient enough for a gateway that just starts."""
    assert process.stdout is not None
    found = 0
    while found < 3:
        line = process.stdout.readline()
        assert line, "make run ended before it had printed three commands"
        if line.startswith("  curl "):
            found += 1
            patience = ["--retry", "30", "--retry-delay", "1", "--retry-connrefused", "--max-time", "40"]
            yield [require("curl"), "--silent", "--show-error", "--fail", *patience, *shlex.split(line)[1:]]


def test_make_run_serves_the_commands_it_prints(running: subprocess.Popen[str]) -> None:
    """Each of the three printed commands gets its answer from the right backend, and SIGTERM leaves nothing running."""
    answers = [subprocess.run(line, capture_output=True, text=True, check=False) for line in curl_lines(running)]
    assert [answer.stderr for answer in answers if answer.returncode] == []
    assert '"path": "/api/v1/processes/hello"' in answers[0].stdout
    assert '"path": "/api/v1/execution/jobs"' in answers[1].stdout
    assert '"body": "a job"' in answers[1].stdout
    assert answers[2].stdout.count("data: ") == 3
    running.terminate()
    running.communicate(timeout=50)
    assert [port for port in PORTS if not is_free(port)] == []


def test_make_run_says_which_port_is_taken(free_ports: None, checkout: Path) -> None:
    """When a demo backend's port is taken, `make run` names it and ends instead of serving half."""
    command = [require("make"), "--old-file=.venv/.runnable", "run"]
    with socket.create_server(("127.0.0.1", 9005)):
        ended = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert "cannot listen on 127.0.0.1:9005: Address already in use" in ended.stderr
    assert [port for port in PORTS if not is_free(port)] == []


def test_an_old_python_is_refused_with_a_remedy(tmp_path: Path) -> None:
    """An interpreter that cannot run the gateway is named before anything is installed, with what to do."""
    old = tmp_path / "python-of-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = [require("make"), f"PYTHON={old}", "run"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "is not Python 3.11 or newer; name one that is: make PYTHON=" in ended.stderr
    assert not (tmp_path / ".venv").exists()
