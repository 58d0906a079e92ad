"""Ways between gateways and control planes that can be cut: by namespaces of the kernel, and by a relay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from tests.control_plane.process import ControlPlaneProcess
from tests.support import pass_on

MAY_DIVIDE = os.getuid() == 0 and shutil.which("ip") is not None
_NO_CARD = "02:00:00:00:00:01"  # an address of Ethernet that no card has


@dataclass(frozen=True)
class Network:
    """A namespace with two cables to this one, each a network of its own: one for people, and one to be cut."""

    name: str
    number: int

    @property
    def inside(self) -> tuple[str, ...]:
        """What the command of a process in it begins with."""
        return ("ip", "netns", "exec", self.name)

    @property
    def for_people(self) -> str:
        """The address of the namespace on the cable that stays."""
        return self._address(0, 2)

    @property
    def for_gateways(self) -> str:
        """The address of the namespace on the cable that is cut."""
        return self._address(1, 2)

    def _address(self, cable: int, side: int) -> str:
        return f"10.213.{self.number + cable}.{side}"

    def lay(self) -> None:
        """Make both cables."""
        for cable in (0, 1):
            here, there = self._cards(cable)
            _run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", self.name)
            for before, card, side in (((), here, 1), (self.inside, there, 2)):
                _run(*before, "ip", "address", "add", f"{self._address(cable, side)}/30", "dev", card)
                _run(*before, "ip", "link", "set", card, "up")

    def cut(self) -> None:
        """From now on, what is sent over the second cable is lost, both ways, without an error."""
        here, there = self._cards(1)
        for before, card, side in (((), here, 2), (self.inside, there, 1)):
            address = self._address(1, side)
            _run(*before, "ip", "neigh", "replace", address, "lladdr", _NO_CARD, "dev", card, "nud", "permanent")

    def mend(self) -> None:
        """It arrives again."""
        here, there = self._cards(1)
        for before, card, side in (((), here, 2), (self.inside, there, 1)):
            _run(*before, "ip", "neigh", "del", self._address(1, side), "dev", card)

    def _cards(self, cable: int) -> tuple[str, str]:
        return f"gd{self.number + cable}a", f"gd{self.number + cable}b"


@contextmanager
def divided() -> Iterator[Network]:
    """One; gone afterwards, with its cables. Only for root."""
    network = Network(f"gameday-{os.getpid()}", os.getpid() % 127 * 2)
    _run("ip", "netns", "add", network.name)
    try:
        network.lay()
        yield network
    finally:
        _run("ip", "netns", "del", network.name)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=10)


@asynccontextmanager
async def relay(planes: Sequence[ControlPlaneProcess]) -> AsyncIterator[str]:
    """What leads each connection to the first of these that takes it, as a load balancer does; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for plane in planes:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                other, onward = await asyncio.open_connection(plane.host, plane.port)
                await asyncio.gather(pass_on(reader, onward), pass_on(other, writer))
                return
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
