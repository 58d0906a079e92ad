"""How much code a request passes."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.deploy.programs import require

COUNTED = re.compile(r"^(\d+) calls in (\d+) files, (\d+) of built-in functions$", re.MULTILINE)


@pytest.mark.parametrize(
    ("way", "most_calls", "most_files", "most_built_in"),
    [("bare", 100, 23, 153), ("chain", 110, 25, 183)],  # a twentieth more than there are, of calls
)
def test_a_request_passes_few_calls_in_few_files(
    way: str, most_calls: int, most_files: int, most_built_in: int
) -> None:
    """One request, on connections that are open, costs no more calls than it did, with a rewrite alone and with a key,
    a limit and the access log; and to follow it one reads no more files."""
    require("nginx")
    command = [sys.executable, "-m", "bench.calls", way]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=150)
    counted = COUNTED.search(done.stdout)
    assert counted is not None, done.stderr
    calls, files, built_in = map(int, counted.groups())
    assert 0 < calls <= most_calls, done.stdout
    assert 0 < files <= most_files, done.stdout
    assert 0 < built_in <= most_built_in, done.stdout
