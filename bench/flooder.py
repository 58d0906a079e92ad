"""One client that floods a port of the loopback interface: `python -m bench.flooder PORT NAME SECONDS RATE ADDRESS`.

It keeps CONNECTIONS of them open and opens another one for each that ends, at most RATE in a second, so that a server
that is quick to close is not flooded more than one that is slow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final, cast

import uvloop

CONNECTIONS: Final = 1000
CONNECTING: Final = 64  # at once
TICK: Final = 0.01  # seconds
SOON: Final = 0.001  # seconds; one that runs in real time and never sleeps holds up the kernel's own work on its core
IP_BIND_ADDRESS_NO_PORT: Final = 24  # connecting chooses it, which may use those of connections that have ended


class End(Enum):
    """What a connection of a flood does once it has sent what it sends first."""

    WAIT = "wait"  # for the server to answer, and to close
    CLOSE = "close"
    RESET = "reset"
    RESET_ANSWER = "reset-answer"  # when something of the answer has come
    DEAF = "deaf"  # stay, and read nothing


@dataclass(frozen=True, slots=True)
class Flood:
    """What every connection sends."""

    first: bytes = b""
    again: bytes = b""  # again and again, every `pause` seconds
    pause: float = 0.0  # seconds
    half_close: bool = False  # nothing comes behind the first bytes
    stay: float = 0.0  # seconds until it closes or resets
    end: End = End.WAIT


_HOST: Final = b"Host: a\r\n"
_GET: Final = b"GET /v1/bench/small HTTP/1.1\r\n" + _HOST + b"\r\n"
_POST: Final = b"POST /v1/bench/small HTTP/1.1\r\n" + _HOST
_CHUNKED: Final = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_CLOSING: Final = _POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
_NOWHERE: Final = b"GET /nowhere HTTP/1.1\r\n" + _HOST + b"\r\n"
_HANDSHAKE: Final = (
    b"GET /v1/bench/websocket HTTP/1.1\r\n" + _HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_LONG_ANSWER: Final = b"GET /v1/bench/1MiB HTTP/1.1\r\n" + _HOST + b"\r\n"
_PARTIAL: Final = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "

FLOODS: Final = {
    "connect and leave": Flood(end=End.CLOSE),
    "connect and reset": Flood(end=End.RESET),
    "connect and stay": Flood(),
    "garbage": Flood(bytes(range(128, 256)) * 4),
    "TLS client hello": Flood(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2),
    "malformed requests": Flood(b"G@T / HTTP/1.1\r\n" + _HOST + b"\r\n"),
    "no Host": Flood(b"GET / HTTP/1.1\r\n\r\n"),
    "no route": Flood(_NOWHERE, _NOWHERE, 0.25),
    "partial heads": Flood(_PARTIAL),
    "byte by byte": Flood(_PARTIAL, b"a", 0.1),
    "header lines": Flood(b"GET / HTTP/1.1\r\n" + _HOST + b"A: b\r\n" * 3000 + b"\r\n"),
    "long header": Flood(b"GET / HTTP/1.1\r\n" + _HOST + b"A: " + b"b" * 100_000 + b"\r\n\r\n"),
    "long target": Flood(b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n"),
    "pipeline": Flood(_GET * 5, _GET * 5, 1),
    "well-formed requests": Flood(_GET, _GET, 0.25),
    "chunk extensions": Flood(_CHUNKED + b"1;" + b"a" * 10_000, b"a" * 10_000, 0.2),
    "tiny chunks": Flood(_CHUNKED, b"1\r\na\r\n" * 2000, 0.2),
    "whole of tiny chunks": Flood(_CLOSING + b"1\r\na\r\n" * 2000 + b"0\r\n\r\n"),
    "body byte by byte": Flood(_POST + b"Content-Length: 100000\r\n\r\n", b"a", 0.1),
    "broken chunks": Flood(_CHUNKED + b"zz\r\n"),
    "upload and stop": Flood(_POST + b"Content-Length: 100000\r\n\r\nabc"),
    "slow readers": Flood(_LONG_ANSWER, end=End.DEAF),
    "request and reset": Flood(_GET, end=End.RESET),
    "request and half-close": Flood(_GET, half_close=True),
    "half-close and reset": Flood(_GET, half_close=True, stay=0.01, end=End.RESET),
    "part of a head and reset": Flood(_PARTIAL, stay=0.1, end=End.RESET),
    "part of a body and reset": Flood(_POST + b"Content-Length: 100000\r\n\r\nabc", stay=0.1, end=End.RESET),
    "whole body and reset": Flood(_POST + b"Content-Length: 1000\r\n\r\n" + b"a" * 1000, end=End.RESET),
    "handshake and reset": Flood(_HANDSHAKE, end=End.RESET),
    "pipeline and reset": Flood(_GET * 50, end=End.RESET),
    "pipeline and later reset": Flood(_GET * 50, stay=0.1, end=End.RESET),
    "answer and reset": Flood(_GET, end=End.RESET_ANSWER),
    "long answer and reset": Flood(_LONG_ANSWER, end=End.RESET_ANSWER),
}


class Crowd:
    """All connections of a flood."""

    def __init__(self, port: int, flood: Flood, rate: float, address: str) -> None:
        self.flood = flood
        self.opened = 0
        self._target = ("127.0.0.1", port)
        self._source = (address, 0)
        self._rate = rate
        self._open: set[Attacker] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> None:
        """Flood for a time."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while (passed := loop.time() - begun) < seconds:
            due = min(
                int(passed * self._rate) - self.opened - len(self._connecting),
                CONNECTIONS - len(self._open) - len(self._connecting),
                CONNECTING - len(self._connecting),
            )
            for _ in range(due):
                task = asyncio.create_task(self._connect())
                self._connecting.add(task)
                task.add_done_callback(self._connecting.discard)
            await asyncio.sleep(TICK if len(self._connecting) < CONNECTING else SOON)
        for attacker in list(self._open):
            attacker.leave()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(5):
                sock = socket.socket()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                if self.flood.end in (End.RESET, End.RESET_ANSWER):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.bind(self._source)
                await loop.sock_connect(sock, self._target)
        except (OSError, TimeoutError):
            await asyncio.sleep(TICK)
        else:
            with contextlib.suppress(ConnectionAbortedError):  # it has left as soon as it was there
                # `create_connection` would close the descriptor of such a one twice, and so that of another one.
                await loop.connect_accepted_socket(lambda: Attacker(self), sock)

    def began(self, attacker: Attacker) -> None:
        """A connection is open."""
        self.opened += 1
        self._open.add(attacker)

    def ended(self, attacker: Attacker) -> None:
        """A connection has ended."""
        self._open.discard(attacker)


class Attacker(asyncio.Protocol):
    """One connection of a flood."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._flood = crowd.flood
        self._writing = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._crowd.began(self)
        flood = self._flood
        if flood.end is End.DEAF:
            self._transport.pause_reading()
        if flood.first:
            self._transport.write(flood.first)
        if flood.half_close:
            self._transport.write_eof()
        if flood.stay:
            asyncio.get_running_loop().call_later(flood.stay, self._end)
        else:
            self._end()
        if flood.pause:
            self._go_on()

    def _end(self) -> None:
        if self._flood.end in (End.CLOSE, End.RESET):
            self._transport.close()  # once all is sent

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            if self._writing:
                self._transport.write(self._flood.again)
            asyncio.get_running_loop().call_later(self._flood.pause, self._go_on)

    def data_received(self, data: bytes) -> None:
        """An answer."""
        if self._flood.end is End.RESET_ANSWER:
            self._transport.close()

    def pause_writing(self) -> None:
        """The server does not read."""
        self._writing = False

    def resume_writing(self) -> None:
        """It does."""
        self._writing = True

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._crowd.ended(self)

    def leave(self) -> None:
        """Reset the connection."""
        self._transport.abort()


async def _main(port: int, name: str, seconds: float, rate: float, address: str) -> None:
    crowd = Crowd(port, FLOODS[name], rate, address)
    await crowd.run(seconds)
    print(json.dumps({"opened": crowd.opened}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.flooder", description=__doc__)
    for name, kind in (("port", int), ("name", str), ("seconds", float), ("rate", float), ("address", str)):
        parser.add_argument(name, type=kind, metavar=name.upper())
    given = parser.parse_args()
    uvloop.run(_main(given.port, given.name, given.seconds, given.rate, given.address))
