"""The demo backends, run as `make run` runs them, on free ports."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

SCRIPT = "import asyncio; from gateway import demo; asyncio.run(demo.serve({'gateway': 0, 'frontend': 0}))"


@dataclass(frozen=True, slots=True)
class Demo:
    """A running process of two backends and their addresses, as ``127.0.0.1:port``."""

    process: subprocess.Popen[str]
    gateway: str
    frontend: str

    def stop(self) -> int:
        """Send SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def start_demo() -> Demo:
    """Start the backends and wait until they accept connections."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    addresses = dict(process.stdout.readline().strip().split(" listens on http://") for _ in range(2))
    return Demo(process, **addresses)


@pytest.fixture
def own_demo() -> Iterator[Demo]:
    demo = start_demo()
    yield demo
    demo.process.kill()
    demo.process.communicate()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    demo = start_demo()
    yield demo
    demo.stop()
    demo.process.communicate()
