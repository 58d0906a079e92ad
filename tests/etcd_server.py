"""A real etcd for tests, on ports of its own, that can be stopped and started again."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support import free_port, until


@dataclass
class EtcdServer:
    """One server process, with its data in `directory`."""

    directory: Path
    port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    client: httpx2.Client = field(default_factory=lambda: httpx2.Client(verify=False, timeout=30))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, for the first time or again, and wait until it answers. Skips the test where there is none."""
        program = shutil.which("etcd")
        if program is None and os.environ.get("CI") == "true":
            pytest.fail("there is no etcd; install Debian's etcd-server")
        peer = f"http://127.0.0.1:{self.peer_port}"
        command = [program or pytest.skip("there is no etcd on this machine"), "--name", "one", "--log-level", "error"]
        command += ["--data-dir", str(self.directory / "etcd")]
        command += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        command += [
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
            "--initial-cluster",
            f"one={peer}",
        ]
        with (self.directory / "etcd.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._answers, 60, "etcd does not answer")

    def _answers(self) -> bool:
        try:
            return "true" in self.client.get(f"{self.url}/health", timeout=5).text
        except httpx2.HTTPError:
            return False

    def kill(self) -> None:
        """It is gone at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def put(self, key: str, value: str, **more: Any) -> int:
        """Set a key; the revision."""
        return int(self.ask("kv/put", key=_encoded(key), value=_encoded(value), **more)["header"]["revision"])

    def delete(self, key: str) -> None:
        self.ask("kv/deleterange", key=_encoded(key))

    def ask(self, path: str, **message: Any) -> Any:
        """What it answers."""
        answer = self.client.post(f"{self.url}/v3/{path}", json=message)
        assert answer.status_code == 200, answer.text
        return answer.json()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
