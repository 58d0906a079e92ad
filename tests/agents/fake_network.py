"""A small agent network in this process: daemons on Unix sockets that speak the bytes that the real ones speak.

It stands for the daemon, the rendezvous and the tunnels between nodes, as far as the bridge can see them. Tests
with real daemons (`make test-agents`) do the same with the real bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from gateway.agents.trust import key_text

FAKE_PILOTCTL = Path(__file__).with_name("fake_pilotctl.py")


@dataclass(eq=False, slots=True)
class Local:
    """One connection of a program to a daemon."""

    node: FakeNode
    writer: asyncio.StreamWriter

    def say(self, command: int, body: bytes) -> None:
        self.writer.write(struct.pack("!IB", len(body) + 1, command) + body)

    def say_json(self, command: int, body: Mapping[str, Any]) -> None:
        self.say(command, json.dumps(body).encode())


@dataclass(eq=False, slots=True)
class Leg:
    """One end of a connection between two nodes."""

    number: int
    local: Local
    other: Leg | None = None
    sent: int = 0
    stuck: bool = False  # nothing that is sent arrives


@dataclass(eq=False, slots=True)
class FakeNode:
    """A node with its daemon. `answers` may be cleared to have it hang."""

    network: FakeNetwork
    number: int
    hostname: str
    key: bytes
    socket: Path
    server: asyncio.Server | None = None
    locals: set[Local] = field(default_factory=set)
    ports: dict[int, Local] = field(default_factory=dict)
    legs: dict[int, Leg] = field(default_factory=dict)
    reserved: set[int] = field(default_factory=set)  # ports that the daemon itself has
    asked: int = 0  # how often for what it is
    asking: list[int] = field(default_factory=list)  # nodes whose requests for trust wait
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Serve its socket."""
        self.socket.unlink(missing_ok=True)
        self.answers.set()
        self.server = await asyncio.start_unix_server(self._serve, self.socket)

    async def stop(self) -> None:
        """As if it was killed: connections end, and the socket file stays."""
        if self.server is not None:
            self.server.close()
        for leg in list(self.legs.values()):
            self.end(leg)
        for local in list(self.locals):
            local.writer.transport.abort()
        self.ports.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        local = Local(self, writer)
        self.locals.add(local)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                frame = await reader.readexactly(length)
                await self.answers.wait()
                self._do(local, frame[0], frame[1:])
        self._gone(local)
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _gone(self, local: Local) -> None:
        self.locals.discard(local)
        self.ports = {port: owner for port, owner in self.ports.items() if owner is not local}
        for leg in [leg for leg in self.legs.values() if leg.local is local]:
            self.end(leg)
        local.writer.close()

    def _do(self, local: Local, command: int, body: bytes) -> None:
        try:
            self._commands()[command](local, body)
        except LookupError as error:
            local.say(0x0A, b"\x00\x01" + str(error.args[0]).encode())

    def _commands(self) -> dict[int, Callable[[Local, bytes], None]]:
        return {
            0x01: self._bind,
            0x03: self._dial,
            0x06: self._send,
            0x08: self._close,
            0x0D: lambda local, _: local.say_json(0x0E, self._info()),
            0x0F: self._handshake,
            0x11: lambda local, body: local.say_json(0x12, self.network.named(body.decode()).found()),
        }

    def found(self) -> dict[str, Any]:
        """What the rendezvous says of it."""
        key = key_text(self.key)
        return {"node_id": self.number, "hostname": self.hostname, "public_key": key, "address": self.address}

    @property
    def address(self) -> str:
        return f"0:0000.0000.{self.number:04X}"

    def _info(self) -> dict[str, Any]:
        self.asked += 1
        listed = [
            {
                "id": leg.number,
                "bytes_sent": leg.sent,
                "in_flight": leg.sent if leg.stuck else 0,
                "unacked": int(leg.stuck and leg.sent > 0),
            }
            for leg in self.legs.values()
        ]
        return {**self.found(), "version": "1.18.0", "conn_list": listed}

    def _bind(self, local: Local, body: bytes) -> None:
        (port,) = struct.unpack("!H", body)
        if port in self.ports or port in self.reserved:
            raise LookupError(f"port {port} already bound")
        self.ports[port] = local
        local.say(0x02, body)

    def _dial(self, local: Local, body: bytes) -> None:
        _, number, port = struct.unpack("!HIH", body)
        if not self.network.trusts(self.number, number):
            raise LookupError(f"resolve node {number}: registry: node {number} is private")
        called = self.network.node(number).ports.get(port)
        if called is None:
            raise LookupError("connection refused")
        leg, other = self._leg(local), called.node._leg(called)
        leg.other, other.other = other, leg
        local.say(0x04, struct.pack("!I", leg.number))
        called.say(0x05, struct.pack("!HIHIH", port, other.number, 0, self.number, 49152))

    def _leg(self, local: Local) -> Leg:
        leg = Leg(next(self.network.numbers), local)
        self.legs[leg.number] = leg
        return leg

    def _send(self, local: Local, body: bytes) -> None:
        leg = self.legs.get(struct.unpack_from("!I", body)[0])
        if leg is None or leg.other is None:
            return
        leg.sent += len(body) - 4
        if not leg.stuck:
            leg.other.local.say(0x07, struct.pack("!I", leg.other.number) + body[4:])

    def _close(self, local: Local, body: bytes) -> None:
        leg = self.legs.get(struct.unpack("!I", body)[0])
        local.say(0x09, body)
        if leg is not None:
            self.end(leg)

    def end(self, leg: Leg) -> None:
        """Both ends are told."""
        for end in (leg, leg.other):
            if end is not None and end.local.node.legs.pop(end.number, None) is not None:
                end.local.say(0x09, struct.pack("!I", end.number))

    def _handshake(self, local: Local, body: bytes) -> None:
        if body[0] == 5:
            local.say_json(0x10, {"trusted": self.network.trusted(self.number)})
        elif body[0] == 4:
            local.say_json(0x10, {"pending": [{"node_id": number} for number in self.asking]})
        else:
            raise LookupError("no such step")


class FakeNetwork:
    """Nodes, and which two trust each other. `pilotctl` is a command for all of them (fake_pilotctl.py)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.pilotctl = directory / "pilotctl"
        self.pilotctl.write_text(f'#!/bin/sh\nexec {sys.executable} -S {FAKE_PILOTCTL} "$@"\n')
        self.pilotctl.chmod(0o755)
        self._nodes: dict[int, FakeNode] = {}
        self._trusts: dict[tuple[int, int], dict[str, Any]] = {}
        self.numbers = itertools.count(1)
        self.away: set[str] = set()  # hostnames that the rendezvous does not know now

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self._nodes.values():
            await node.stop()

    async def join(self, hostname: str, key: bytes = b"") -> FakeNode:
        """A node with its daemon, running. Without a key it has one made of its name."""
        number = len(self._nodes) + 1
        key = key or hashlib.sha256(hostname.encode()).digest()
        node = FakeNode(self, number, hostname, key, self._directory / f"{number}.sock")
        self._nodes[number] = node
        await node.start()
        return node

    def trust(self, one: FakeNode, other: FakeNode, *, mutual: bool = True) -> None:
        """Both handshakes are made; else only the first has approved."""
        pairs = ((one, other), (other, one)) if mutual else ((one, other),)
        for node, peer in pairs:
            key = key_text(peer.key) if mutual else ""
            self._trusts[node.number, peer.number] = {"node_id": peer.number, "mutual": mutual, "public_key": key}

    def untrust(self, one: FakeNode, other: FakeNode) -> None:
        """One of them revokes it."""
        for pair in ((one.number, other.number), (other.number, one.number)):
            self._trusts.pop(pair, None)

    def node(self, number: int) -> FakeNode:
        return self._nodes[number]

    def named(self, hostname: str) -> FakeNode:
        found = [node for node in self._nodes.values() if node.hostname == hostname]
        if not found or hostname in self.away:
            raise LookupError(f"resolve_hostname: registry: hostname {hostname!r} not found")
        return found[0]

    def trusts(self, one: int, other: int) -> bool:
        return (one, other) in self._trusts or (other, one) in self._trusts

    def trusted(self, number: int) -> list[dict[str, Any]]:
        return [record for (one, _), record in self._trusts.items() if one == number]
