"""A rendezvous on loopback: registry and beacon of the Pilot network, as much of them as tests need.

It is ours by design, and not a product: it knows one network. Signatures of nodes are verified, so that a test can
forge one and see it refused.

`python -m tests.agents.rendezvous DIRECTORY [PORT]` brings loopback up where it may, serves, and writes the ports into
`DIRECTORY/ports`. What it knows is in `DIRECTORY/state`, for when it is started again. The socket `DIRECTORY/control`
takes lines of JSON: `{"forget": "acme-discovery"}` frees a hostname, `{"untrust": [1, 2]}` ends trust.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import fcntl
import json
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MOST = 1 << 20  # bytes of a request
Message = Mapping[str, Any]


class Refusal(Exception):
    """What is answered in the place of a result."""


@dataclass(slots=True)
class Node:
    """What one daemon registered, and what waits for it."""

    number: int
    key: str  # base64
    real_address: str
    hostname: str = ""
    public: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    responses: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """As the network writes it: network, and 48 bits in hexadecimal."""
        return f"0:0000.{self.number >> 16:04X}.{self.number & 0xFFFF:04X}"

    def found(self) -> dict[str, Any]:
        """What anybody may know."""
        return {
            "node_id": self.number,
            "address": self.address,
            "hostname": self.hostname,
            "networks": [0],
            "public": self.public,
            "public_key": self.key,
        }


class Registry:
    """Nodes, their names, and which two trust each other. Every answer has a `type`, and may be a Refusal."""

    def __init__(self, file: Path) -> None:
        known = json.loads(file.read_bytes()) if file.exists() else {"nodes": [], "trusts": []}
        self._file = file
        self.nodes: dict[int, Node] = {node["number"]: Node(**node) for node in known["nodes"]}
        self.trusts = {frozenset(pair) for pair in known["trusts"]}
        self.refused: list[str] = []
        self.relayed = 0  # datagrams of the beacon
        self._answers: dict[str, Callable[[Message], Message]] = {
            "register": self._register,
            "set_hostname": self._set_hostname,
            "set_visibility": lambda _: {},
            "deregister": lambda _: {},
            "lookup": lambda message: self._node(message["node_id"]).found(),
            "resolve_hostname": lambda message: self._named(message["hostname"]).found(),
            "resolve": self._resolve,
            "request_handshake": self._request_handshake,
            "poll_handshakes": self._poll_handshakes,
            "respond_handshake": self._respond_handshake,
            "report_trust": self._report_trust,
            "revoke_trust": self._revoke_trust,
            "check_trust": lambda message: {"trusted": self._trusted(message["node_id"], message["peer_id"])},
            "heartbeat": lambda message: {"node_id": self._node(message["node_id"]).number, "time": int(time.time())},
            "beacon_list": lambda _: {"beacons": []},
            "list_networks": lambda _: {"networks": []},
            "get_network_policy": lambda _: {},
        }

    def answer(self, message: Message) -> Message:
        """The answer to one request of a daemon."""
        kind = str(message.get("type"))
        try:
            if kind not in self._answers:
                raise Refusal(f"unknown type {kind}")
            answer = {"type": f"{kind}_ok", **self._answers[kind](message)}
        except (Refusal, KeyError) as error:
            self.refused.append(f"{kind}: {error}")
            return {"type": "error", "error": str(error)}
        nodes = [asdict(node) for node in self.nodes.values()]
        self._file.write_text(json.dumps({"nodes": nodes, "trusts": [sorted(pair) for pair in self.trusts]}))
        return answer

    def count_relayed(self) -> None:
        """The beacon has relayed a datagram."""
        self.relayed += 1

    def control(self, message: Message) -> Message:
        """What a test asks for."""
        if "forget" in message:
            self._named(message["forget"]).hostname = ""
        if "untrust" in message:
            self.trusts.discard(frozenset(message["untrust"]))
        return {
            "nodes": [node.found() for node in self.nodes.values()],
            "trusts": sorted(sorted(pair) for pair in self.trusts),
            "refused": self.refused[-100:],
            "relayed": self.relayed,
        }

    def _node(self, number: int) -> Node:
        if number not in self.nodes:
            raise Refusal(f"node {number} not found")
        return self.nodes[number]

    def _named(self, hostname: str) -> Node:
        found = next((node for node in self.nodes.values() if node.hostname == hostname), None)
        if not hostname or found is None:
            raise Refusal(f"hostname {hostname!r} not found")
        return found

    def _signed(self, message: Message, number: int, text: str) -> Node:
        node = self._node(number)
        try:
            signature = base64.b64decode(message.get("signature", ""))
            Ed25519PublicKey.from_public_bytes(base64.b64decode(node.key)).verify(signature, text.encode())
        except (InvalidSignature, ValueError, binascii.Error) as error:
            raise Refusal(f"bad signature over {text}") from error
        return node

    def _register(self, message: Message) -> Message:
        key = message["public_key"]
        node = next((node for node in self.nodes.values() if node.key == key), None)
        if node is None:
            node = Node(len(self.nodes) + 1, key, "")
            self.nodes[node.number] = node
        node.real_address = message.get("listen_addr", "")
        if message.get("hostname"):
            self._name(node, message["hostname"])
        return {"node_id": node.number, "address": node.address, "network_id": 0, "public_key": key}

    def _name(self, node: Node, hostname: str) -> None:
        if any(other.hostname == hostname for other in self.nodes.values() if other is not node):
            raise Refusal(f"hostname {hostname!r} already taken")
        node.hostname = hostname

    def _set_hostname(self, message: Message) -> Message:
        node = self._node(message["node_id"])
        if message["hostname"]:
            self._name(node, message["hostname"])
        else:
            node.hostname = ""
        return {"node_id": node.number, "hostname": node.hostname}

    def _resolve(self, message: Message) -> Message:
        number, requester = message["node_id"], message["requester_id"]
        self._signed(message, requester, f"resolve:{requester}:{number}")
        if not self._trusted(number, requester):
            raise Refusal(f"node {number} is private: no trust with {requester}")
        node = self._node(number)
        return {"node_id": number, "address": node.address, "real_addr": node.real_address}

    def _trusted(self, one: int, other: int) -> bool:
        return frozenset((one, other)) in self.trusts

    def _request_handshake(self, message: Message) -> Message:
        sender, receiver = message["from_node_id"], message["to_node_id"]
        self._signed(message, sender, f"handshake:{sender}:{receiver}")
        said = {"from_node_id": sender, "justification": message.get("justification", ""), "timestamp": _now()}
        self._node(receiver).requests.append(said)
        return {"status": "sent"}

    def _poll_handshakes(self, message: Message) -> Message:
        number = message["node_id"]
        node = self._signed(message, number, f"poll_handshakes:{number}")
        answer = {"requests": node.requests, "responses": node.responses}
        node.requests, node.responses = [], []
        return answer

    def _respond_handshake(self, message: Message) -> Message:
        number, peer = message["node_id"], message["peer_id"]
        self._signed(message, number, f"respond:{number}:{peer}")
        if message["accept"]:
            self.trusts.add(frozenset((number, peer)))
        said = {"from_node_id": number, "accept": message["accept"], "timestamp": _now()}
        self._node(peer).responses.append(said)
        return {"status": "responded"}

    def _report_trust(self, message: Message) -> Message:
        number, peer = message["node_id"], message["peer_id"]
        self._signed(message, number, f"report_trust:{number}:{peer}")
        self.trusts.add(frozenset((number, peer)))
        return {}

    def _revoke_trust(self, message: Message) -> Message:
        self.trusts.discard(frozenset((message["node_id"], message["peer_id"])))
        return {}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Beacon(asyncio.DatagramProtocol):
    """Says to nodes where they are, introduces two to each other, and relays between them."""

    def __init__(self, relayed: Callable[[], None]) -> None:
        self._relayed = relayed
        self._where: dict[int, tuple[str, int]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """One of the three requests; others are ignored."""
        with contextlib.suppress(struct.error, KeyError, OSError):
            if data[0] == 0x01:
                self._where[struct.unpack_from("!I", data, 1)[0]] = address
                self._transport.sendto(b"\x02" + _endpoint(address), address)
            elif data[0] == 0x03:
                one, other = (self._where[number] for number in struct.unpack_from("!II", data, 1))
                self._transport.sendto(b"\x04" + _endpoint(other), one)
                self._transport.sendto(b"\x04" + _endpoint(one), other)
            elif data[0] == 0x05:
                self._relayed()
                sender, receiver = struct.unpack_from("!II", data, 1)
                self._transport.sendto(b"\x06" + struct.pack("!I", sender) + data[9:], self._where[receiver])


def _endpoint(address: tuple[str, int]) -> bytes:
    ip = socket.inet_aton(address[0])
    return bytes([len(ip)]) + ip + struct.pack("!H", address[1])


async def _serve_registry(registry: Registry, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
        while (length := struct.unpack("!I", await reader.readexactly(4))[0]) <= MOST:
            asked = json.loads(await reader.readexactly(length))
            answer = json.dumps(registry.answer(asked)).encode()
            writer.write(struct.pack("!I", len(answer)) + answer)
            await writer.drain()
    writer.close()


async def _serve_control(registry: Registry, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(json.dumps(registry.control(json.loads(line))).encode() + b"\n")
        await writer.drain()
    writer.close()


def loopback_up() -> None:
    """Bring the interface `lo` of a network namespace of our own up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        request = bytearray(struct.pack("16sh14x", b"lo", 0))
        fcntl.ioctl(asked, 0x8913, request)
        flags = struct.unpack_from("h", request, 16)[0]
        if not flags & 1:
            fcntl.ioctl(asked, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))


async def serve(directory: Path, port: int = 0) -> None:
    """Serve until cancelled."""
    registry = Registry(directory / "state")
    server = await asyncio.start_server(lambda r, w: _serve_registry(registry, r, w), "127.0.0.1", port)
    loop = asyncio.get_running_loop()
    await asyncio.start_unix_server(lambda r, w: _serve_control(registry, r, w), directory / "control")
    registry_port = server.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Beacon(registry.count_relayed), ("127.0.0.1", registry_port + 1 if port else 0)
    )
    beacon_port = transport.get_extra_info("sockname")[1]
    (directory / "ports.new").write_text(f"{registry_port} {beacon_port}")
    (directory / "ports.new").rename(directory / "ports")
    await server.serve_forever()


if __name__ == "__main__":
    loopback_up()
    (Path(sys.argv[1]) / "control").unlink(missing_ok=True)
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
