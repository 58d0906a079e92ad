"""Real daemons of the Pilot network, with a rendezvous of ours, in a network namespace where one can be made.

Nothing of it reaches another machine: the namespace has a loopback of its own and no other interface. Where it cannot
be made, the switches of `QUIET` are what holds: no public rendezvous, telemetry or feed, nothing written for others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support import eventually

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = ROOT / ".venv" / "agents"
QUIET: Final = (
    "-telemetry-url=",
    "-motd-feed-url=",
    "-no-skillinject",
    "-strict-dataplane-trust",
    "-log-level=info",
)
WITHIN: Final = 20.0  # seconds for a daemon to start


def program(name: str) -> Path:
    """`pilot-daemon` or `pilotctl` of the wheel itself, without its wrapper in Python."""
    found = next(iter(ENVIRONMENT.glob(f"lib/python3*/site-packages/pilotprotocol/bin/{name}")), None)
    if found is None:
        raise FileNotFoundError(f"{ENVIRONMENT} has no {name}: make test-agents makes it")
    return found


class PilotctlFailed(Exception):
    """`pilotctl` said no. `code` is its own."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(str(answer))
        self.code = answer.get("code")


@dataclass(slots=True)
class Node:
    """One daemon: its socket, and `pilotctl` as its user has it."""

    world: World
    hostname: str
    home: Path
    socket: Path
    flags: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def pilotctl(self) -> Path:
        """A command that runs `pilotctl` where the daemons are, as the user of this one."""
        return self.home / "pilotctl"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        await until(self._answers, f"{self.hostname} does not answer; see {self.home}/daemon.log")

    def launch(self) -> None:
        """Start it."""
        registry, beacon = self.world.ports
        command = [str(program("pilot-daemon")), "-registry", f"127.0.0.1:{registry}", "-beacon", f"127.0.0.1:{beacon}"]
        command += [
            "-listen",
            "127.0.0.1:0",
            "-socket",
            str(self.socket),
            "-identity",
            str(self.home / "identity.json"),
        ]
        command += ["-hostname", self.hostname, *QUIET, *self.flags]
        with (self.home / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.world.inside(command), env=self.world.environment(self), stdout=log, stderr=log, cwd=self.home
            )

    async def _answers(self) -> bool:
        with contextlib.suppress(PilotctlFailed):
            return bool((await self.ctl("info"))["hostname"] == self.hostname)
        return False

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal, and wait for its end if that ends it."""
        assert self.process is not None
        for pid in (*children_of(self.process.pid), self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        if how in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(10)
            self.process = None

    async def ctl(self, *arguments: str) -> Mapping[str, Any]:
        """The `data` of `pilotctl --json ...`. Raises PilotctlFailed."""
        answer: Mapping[str, Any] = json.loads(await self._output(arguments))
        if answer.get("status") != "ok":
            raise PilotctlFailed(answer)
        return dict(answer["data"])

    async def _output(self, arguments: Sequence[str]) -> bytes:
        process = await self.open(*arguments)
        output, _ = await process.communicate()
        return output

    async def open(self, *arguments: str) -> asyncio.subprocess.Process:
        """`pilotctl --json ...`, running."""
        return await asyncio.create_subprocess_exec(
            self.pilotctl, "--json", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )

    async def publish(self, hostname: str, topic: str, data: str) -> Mapping[str, Any]:
        """As an agent publishes, without the bridge."""
        return await self.ctl("publish", hostname, topic, "--data", data)

    async def handshake(self, other: Node) -> None:
        """Ask each other for trust, and wait until both have it."""
        for node, peer in ((self, other), (other, self)):
            await node.ctl("handshake", str(await peer.number()), "setup: api-gateway-manager")

        async def both() -> bool:
            return await self.trusts(other) and await other.trusts(self)

        await until(both, f"{self.hostname} and {other.hostname} do not trust each other")

    async def trusts(self, other: Node) -> bool:
        """Whether it is in its list, mutually."""
        number = (await other.ctl("info"))["node_id"]
        trusted = (await self.ctl("trust"))["trusted"] or []
        return any(record["node_id"] == number and record["mutual"] for record in trusted)

    async def number(self) -> int:
        """Its node id."""
        return int((await self.ctl("info"))["node_id"])


@dataclass(slots=True)
class World:
    """A rendezvous, and the daemons that know it."""

    directory: Path
    holder: subprocess.Popen[bytes] | None  # of the namespace, where there is one
    rendezvous: subprocess.Popen[bytes] | None = None
    ports: tuple[int, int] = (0, 0)
    nodes: list[Node] = field(default_factory=list)

    def inside(self, command: Sequence[str]) -> list[str]:
        """A command, to be run where the rendezvous is."""
        if self.holder is None:
            return list(command)
        entered = ["nsenter", "--preserve-credentials", "-U", "-n", "-t", str(self.holder.pid)]
        return [*entered, "--", *command]

    def environment(self, node: Node) -> dict[str, str]:
        """What its daemon, and its `pilotctl`, find."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(node.home),
            "PILOT_SOCKET": str(node.socket),
            "PILOT_REGISTRY": f"127.0.0.1:{self.ports[0]}",
        }

    async def join(self, hostname: str, *flags: str, started: bool = True, name: str = "") -> Node:
        """A new node. `name` tells two of one hostname apart."""
        home = self.directory / (name or hostname)
        home.mkdir()
        node = Node(self, hostname, home, home / "pilot.sock", flags)
        exported = " ".join(f"{key}='{value}'" for key, value in self.environment(node).items())
        command = " ".join(f"'{part}'" for part in self.inside([str(program("pilotctl"))]))
        node.pilotctl.write_text(f'#!/bin/sh\nexec env {exported} {command} "$@"\n')
        node.pilotctl.chmod(0o755)
        self.nodes.append(node)
        if started:
            await node.start()
        return node

    async def ask(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the registry as a daemon does, from where the daemons are."""
        program = (
            "import socket, struct, sys\n"
            "asked = sys.argv[2].encode()\n"
            "with socket.create_connection(('127.0.0.1', int(sys.argv[1]))) as made:\n"
            "    made.sendall(struct.pack('!I', len(asked)) + asked)\n"
            "    made.recv(4)\n"
            "    print(made.recv(65536).decode())\n"
        )
        command = self.inside([sys.executable, "-c", program, str(self.ports[0]), json.dumps(asked)])
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        answer: Mapping[str, Any] = json.loads((await process.communicate())[0])
        return answer

    async def start_rendezvous(self) -> None:
        """Start it, with what it knew before and at the same ports."""
        found = self.directory / "ports"
        found.unlink(missing_ok=True)
        command = self.inside(
            [sys.executable, "-m", "tests.agents.rendezvous", str(self.directory), str(self.ports[0])]
        )
        self.rendezvous = _started(command, self.directory / "rendezvous.log")
        await eventually(found.exists, WITHIN, "the rendezvous does not start")
        registry, beacon = found.read_text().split()
        self.ports = (int(registry), int(beacon))

    def kill_rendezvous(self) -> None:
        """As if its machine was gone."""
        if self.rendezvous is not None:
            self.rendezvous.kill()
            self.rendezvous.wait(10)
            self.rendezvous = None

    def end(self) -> None:
        """End all of it."""
        for node in self.nodes:
            if node.process is not None:
                node.kill(signal.SIGCONT)
                node.kill()
        self.kill_rendezvous()
        if self.holder is not None:
            self.holder.kill()
            self.holder.wait(10)

    async def control(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the rendezvous (rendezvous.py)."""
        reader, writer = await asyncio.open_unix_connection(self.directory / "control")
        writer.write(json.dumps(asked).encode() + b"\n")
        answer: Mapping[str, Any] = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return answer


def _started(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)


def children_of(pid: int) -> list[int]:
    """The processes that one has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


async def until(holds: Callable[[], Awaitable[bool]], message: str, within: float = WITHIN) -> None:
    """Ask again and again, until it holds. Raises AssertionError with the message."""
    end = time.monotonic() + within
    while not await holds():
        assert time.monotonic() < end, message
        await asyncio.sleep(0.1)


def _namespace() -> subprocess.Popen[bytes] | None:
    """A process in a network namespace of its own. None where none can be made."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return None
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode != 0:
        return None
    command = ["unshare", "-rn", "--", "sh", "-c", "echo; exec sleep infinity"]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.stdout.close()
    return holder


@contextlib.asynccontextmanager
async def running_world() -> AsyncIterator[World]:
    """A rendezvous without nodes, ended with all of them. The directory is short, as paths of sockets have to be."""
    with tempfile.TemporaryDirectory(prefix="pilot-", ignore_cleanup_errors=True) as name:
        world = World(Path(name), _namespace())
        try:
            await world.start_rendezvous()
            yield world
        finally:
            world.end()
