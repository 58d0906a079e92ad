"""What a daemon of version 1.18.0 said over its local socket, recorded on loopback, and read again.

The tests with real daemons are in test_real_network.py; this is what is left of them where those do not run.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.agents.daemon import DaemonError, connections_of, daemon_socket
from gateway.agents.frames import Event, Frames
from gateway.agents.trust import Named, Trust, key_of, named_of, trust_of

KEY = "T1dMkg9RN27rKTy0DhV3wsEtFE9vH2aJXGQcDqxwnlo="
INFO = (
    b'\x0e{"address":"0:0000.0000.0001","conn_list":[{"bytes_recv":16,"bytes_sent":60016,"cong_win":100864,"id":1,'
    b'"in_flight":112,"local_port":1002,"peer_recv_win":577152,"recv_win":2097152,"remote_addr":"0:0000.0000.0002",'
    b'"remote_port":49152,"segs_sent":53,"state":"ESTABLISHED","unacked":1}],"hostname":"acme-router","motd":"",'
    b'"networks":null,"node_id":1,"peer_list":[],"version":"1.18.0"}'
)
ANSWERS = {
    b"\x0d": INFO,
    b"\x0f\x05": b'\x10{"trusted":[{"approved_at":1795716622,"mutual":true,"network":0,"node_id":2,"public_key":"'
    + KEY.encode()
    + b'"}]}',
    b"\x0f\x04": b'\x10{"pending":[{"justification":"setup: api-gateway-manager","node_id":2,"public_key":"",'
    b'"received_at":1795716620}]}',
    b"\x11acme-discovery": b'\x12{"address":"0:0000.0000.0002","hostname":"acme-discovery","networks":[0],"node_id":2,'
    b'"public":false,"public_key":"' + KEY.encode() + b'","type":"resolve_hostname_ok"}',
    b"\x11acme-nobody": b"\n\x00\x01resolve_hostname: registry: hostname 'acme-nobody' not found",
    b"\x01\x03\xea": b"\x02\x03\xea",
    b"\x03\x00\x00\x00\x00\x00\x02\x03\xea": b"\n\x00\x01connection refused",
    b"\x03\x00\x00\x00\x00\x00\x02\x03\xe9": b"\x04\x00\x00\x00\x04",
}
CALL = (
    b"\x05\x03\xea\x00\x00\x00\x05\x00\x00\x00\x00\x00\x02\xc0\x02",
    b"\x07\x00\x00\x00\x05\x00\x10service-registry\x00\x00\x00\x00",
    b'\x07\x00\x00\x00\x05\x00\x10service-registry\x00\x00\x00\x0f{"service":"a"}',
    b"\t\x00\x00\x00\x05",
)
"""`pilotctl publish acme-router service-registry --data '{"service":"a"}'`, as the daemon of acme-router said it."""


class Heard:
    """What a socket is told of its connections."""

    def __init__(self) -> None:
        self.all: list[object] = []
        self.over = asyncio.Event()
        self._frames = Frames()

    def opened(self, connection: int, node: int, port: int) -> None:
        self.all.append((connection, node, port))

    def received(self, connection: int, data: bytes) -> None:
        self.all += self._frames.feed(data)

    def ended(self, connection: int) -> None:
        self.all.append(connection)
        self.over.set()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            (length,) = struct.unpack("!I", await reader.readexactly(4))
            asked = await reader.readexactly(length)
            for frame in (ANSWERS[asked], *(CALL if asked == b"\x01\x03\xea" else ())):
                writer.write(struct.pack("!I", len(frame)) + frame)
    writer.close()


@pytest.fixture
async def recorded(tmp_path: Path) -> AsyncIterator[str]:
    """A socket that answers as the daemon did."""
    async with await asyncio.start_unix_server(_serve, tmp_path / "pilot.sock"):
        yield str(tmp_path / "pilot.sock")


async def test_its_answers_are_read(recorded: str) -> None:
    """Who it is, whom it trusts, who asks, who has a name, and how its connections do."""
    async with daemon_socket(recorded) as daemon:
        info = await daemon.info()
        assert (info["hostname"], info["node_id"], info["version"]) == ("acme-router", 1, "1.18.0")
        (connection,) = connections_of(info)
        assert (connection.id, connection.arrived, connection.window, connection.unacknowledged) == (
            1,
            59904,
            577152,
            True,
        )
        assert [trust_of(record) for record in await daemon.trusted()] == [Trust(2, True, key_of(KEY))]
        assert (await daemon.pending())[0]["justification"] == "setup: api-gateway-manager"
        named = named_of("acme-discovery", await daemon.resolve("acme-discovery"))
        assert named == Named("acme-discovery", 2, key_of(KEY))
        with pytest.raises(DaemonError, match="not found"):
            await daemon.resolve("acme-nobody")


async def test_calls_in_both_directions(recorded: str) -> None:
    """A dial that is refused and one that is not, and a node that calls, publishes and hangs up."""
    heard = Heard()
    async with daemon_socket(recorded, heard) as daemon:
        with pytest.raises(DaemonError, match="connection refused"):
            await daemon.dial(2, 1002)
        assert await daemon.dial(2, 1001) == 4
        await daemon.bind(1002)
        await asyncio.wait_for(heard.over.wait(), 30)
    assert heard.all == [
        (5, 2, 1002),
        Event("service-registry", b"", 0),
        Event("service-registry", b'{"service":"a"}', 15),
        5,
    ]
