"""How much code a request passes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from bench.proxies import WITHOUT_C
from gateway.native import plain_request
from tests.deploy.programs import require

COUNTED = re.compile(r"^(\d+) calls in (\d+) files, (\d+) of built-in functions$", re.MULTILINE)


@pytest.mark.parametrize(
    ("way", "without_c", "most_calls", "most_files", "most_built_in"),
    [  # a twentieth more than there are, of calls
        ("bare", False, 81, 22, 78),
        ("chain", False, 95, 24, 117),
        ("policy", False, 120, 28, 114),
        ("bare", True, 100, 23, 144),
        ("chain", True, 110, 25, 175),
    ],
)
def test_a_request_passes_few_calls_in_few_files(
    way: str, without_c: bool, most_calls: int, most_files: int, most_built_in: int
) -> None:
    """One request, on connections that are open, costs no more calls than it did, with a rewrite alone and with a key,
    a limit and the access log, or with a custom policy; and to follow it one reads no more files."""
    require("nginx")
    if plain_request is None and not without_c:
        pytest.skip("nothing is built in C")
    command = [sys.executable, "-m", "bench.calls", way]
    environment = {**os.environ, "PYTHONPATH": str(WITHOUT_C) if without_c else ""}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=150, env=environment)
    counted = COUNTED.search(done.stdout)
    assert counted is not None, done.stderr
    calls, files, built_in = map(int, counted.groups())
    assert 0 < calls <= most_calls, done.stdout
    assert 0 < files <= most_files, done.stdout
    assert 0 < built_in <= most_built_in, done.stdout
