"""A control plane in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from gateway.control_plane.rules import TOKEN_FILE
from tests.support import free_port

START_SECONDS = 30.0


@dataclass
class ControlPlaneProcess:
    """One that runs `gateway control-plane serve` on a directory."""

    directory: Path
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"  # where it is asked
    before: tuple[str, ...] = ()  # what its command begins with
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://{self.host}:{self.port}"

    @property
    def token(self) -> str:
        """That of this machine."""
        return (self.directory / "state" / TOKEN_FILE).read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        """What lets a request do everything."""
        return {"authorization": f"Bearer {self.token}"}

    @property
    def log(self) -> str:
        """What it wrote to stderr."""
        return self._log.read_text()

    @property
    def _log(self) -> Path:
        return self.directory / f"control-plane-{self.port}.log"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [*self.before, sys.executable, "-m", "gateway.cli", "control-plane", "serve"]
        command += ["--config", str(self.directory)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port), *self.arguments],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"it does not serve:\n{self.log}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/session", timeout=2):
                return True
        except (URLError, OSError):
            return False

    def kill(self) -> None:
        """End it as the kernel does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@contextmanager
def running_control_plane(
    directory: Path, arguments: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
) -> Iterator[ControlPlaneProcess]:
    """One on this directory, which holds its configuration; ended afterwards."""
    it = ControlPlaneProcess(directory, arguments, environment or {})
    try:
        it.start()
        yield it
    finally:
        it.stop()
