"""How much code a request passes."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.deploy.programs import require

MOST_CALLS = 110
MOST_FILES = 26  # that of sizes of bodies included


def test_a_request_passes_few_calls_in_few_files() -> None:
    """One request with a key and a limit, on connections that are open, costs no more calls than it did, and who wants
    to follow it reads no more files."""
    require("nginx")
    command = [sys.executable, "-m", "bench.calls"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    counted = re.search(r"^(\d+) calls in (\d+) files$", done.stdout, re.MULTILINE)
    assert counted is not None, done.stderr
    calls, files = map(int, counted.groups())
    assert 0 < calls <= MOST_CALLS, done.stdout
    assert 0 < files <= MOST_FILES, done.stdout
