"""The commands of the benchmark: what they say of themselves, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import free_port
from bench.programs import BenchError, Program, get, running
from bench.scenarios import EXTRA, SCENARIOS
from tests.support import until

COMMANDS = ("bench", *(f"bench.{name}" for name in ("calls", "fleet", "flooder", "floods", "pages", "sizing")))


@pytest.mark.parametrize("module", COMMANDS)
def test_help_is_printed_and_nothing_measured(module: str) -> None:
    """Every command of the benchmark explains itself and ends."""
    ended = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"usage: python -m {module} ")


def test_help_has_a_line_for_each_scenario() -> None:
    """What each measures stands behind its name."""
    text = subprocess.run([sys.executable, "-m", "bench", "--help"], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=1) for line in text.partition("\nscenarios:\n")[2].splitlines()]
    assert [line[0] for line in lines] == [scenario.key for scenario in (*SCENARIOS, *EXTRA)]
    assert all(len(line) == 2 for line in lines)


_SLOW = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import monotonic

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if monotonic() > ready else 503)
        self.end_headers()

server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
ready = monotonic() + 1
server.serve_forever()
"""


def test_a_program_that_is_not_ready_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a gateway with many consumers on a busy machine is; a wrong answer is given up sooner."""
    monkeypatch.setattr("bench.programs.RIGHT_SECONDS", 0.1)
    program = Program("slow", (sys.executable, "-c", _SLOW, str(port := free_port())), port)
    with running(program, frozenset(os.sched_getaffinity(0)), tmp_path, "/"):
        assert get(port, "/")[0] == 200


def test_a_program_that_ends_is_named_with_its_status(tmp_path: Path) -> None:
    """Also where it says nothing."""
    program = Program("broken", (sys.executable, "-c", "raise SystemExit(3)"), free_port())
    with (
        pytest.raises(BenchError, match=r"broken does not serve after \d+ s \(it ended with 3\): its log is empty"),
        running(program, frozenset(os.sched_getaffinity(0)), tmp_path, "/"),
    ):
        pass


def _started_by(session: int) -> dict[int, str]:
    """The commands whose parent is this process."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended
            continue
        if parent == session and command:
            found[int(directory.name)] = command
    return found


def test_what_it_has_started_ends_with_it() -> None:
    """SIGTERM leaves neither gateway nor backend behind."""
    process = subprocess.Popen([sys.executable, "-m", "bench.sizing"], stdout=subprocess.DEVNULL)
    try:
        until(lambda: any("gateway.cli serve" in command for command in _started_by(process.pid).values()))
        started = _started_by(process.pid)
        assert any("gateway.demo" in command for command in started.values())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
        assert not any(Path(f"/proc/{pid}").exists() for pid in started)
    finally:
        process.kill()
        process.wait()
