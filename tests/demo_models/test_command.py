"""`gateway demo models` as it is run."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys

import httpx2

COMMAND = [sys.executable, "-m", "gateway.cli", "demo", "models"]


def test_serves_a_provider_on_each_port_until_it_is_ended() -> None:
    """It says where each provider is, they answer, and SIGTERM ends them with 0."""
    with subprocess.Popen([*COMMAND, "--port", "0", "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for _ in range(2):
                found = re.search(r"http://127\.0\.0\.1:\d+$", process.stdout.readline().rstrip())
                assert found is not None
                assert (
                    httpx2.get(f"{found[0]}/v1/models", trust_env=False, timeout=30).json()["data"][0]["id"] == "small"
                )
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_names_a_port_that_is_taken() -> None:
    """A port in use is an error that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False, timeout=120
        )
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
