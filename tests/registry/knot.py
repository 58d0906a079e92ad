"""A name server of one's own: knot, with a zone `test` that `nsupdate` changes."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.outside.names import NameServers, NoAnswer
from tests.support import free_port

ZONE = """
$ORIGIN test.
$TTL 1
@ SOA ns me 1 60 60 60 1
@ NS ns
ns A 127.0.0.1
"""

CONFIGURATION = """
server:
    rundir: {folder}
    listen: 127.0.0.1@{port}
    background-workers: 1
    udp-workers: 1
    tcp-workers: 1
database:
    storage: {folder}/db
log:
  - target: stderr
    any: warning
acl:
  - id: tests
    address: 127.0.0.1
    action: update
zone:
  - domain: test
    storage: {folder}
    file: test.zone
    acl: tests
    zonefile-sync: -1
"""


@dataclass
class Knot:
    """A knotd; `process` is None while it is stopped."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, *records: str) -> None:
        """Serve the zone with these records; what was changed by `update` before is forgotten."""
        shutil.rmtree(self.folder / "db", ignore_errors=True)
        (self.folder / "db").mkdir()
        (self.folder / "test.zone").write_text(ZONE + "\n".join(records) + "\n")
        (self.folder / "knot.conf").write_text(CONFIGURATION.format(folder=self.folder, port=self.port))
        self._launch()
        for _ in range(600):
            try:
                await NameServers((self.address,)).ask("ns.test", "A")
            except NoAnswer as error:
                if "SERVFAIL" in str(error):  # it does not take a broken zone
                    return
                await asyncio.sleep(0.05)
            else:
                return
        pytest.fail(f"knotd does not answer: {(self.folder / 'log').read_text()}")

    def _launch(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([_program("knotd"), "-c", str(self.folder / "knot.conf")], stderr=log)

    def stop(self) -> None:
        """End it, and wait for that."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def update(self, *changes: str) -> None:
        """Change the zone while it is served: `add NAME TTL TYPE DATA`, `delete NAME TYPE [DATA]`."""
        lines = [f"server 127.0.0.1 {self.port}", "zone test", *(f"update {change}" for change in changes), "send", ""]
        subprocess.run([_program("nsupdate")], input="\n".join(lines).encode(), check=True, timeout=60)


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None and os.environ.get("CI") == "true":
        pytest.fail(f"there is no {name}; install knot and bind9-dnsutils")
    return path or pytest.skip(f"there is no {name} on this machine")


@contextmanager
def running_knot(folder: Path) -> Iterator[Knot]:
    """A knotd that is not started yet, and is ended afterwards."""
    knot = Knot(folder)
    try:
        yield knot
    finally:
        knot.stop()
