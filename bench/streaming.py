"""A backend that sends events, echoes WebSocket messages, or lets requests wait: `python -m bench.streaming PORT`.

And the clients that have them of a proxy: events come at a steady pace, so that each is one write and one read;
WebSockets send a message, await its echo, and send the next.
"""

from __future__ import annotations

import asyncio
import re
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Final, cast

import uvloop

from bench.load import CONNECTIONS
from bench.machine import cpu_seconds
from bench.measure import Measure, Runner, Sample
from bench.programs import BenchError
from bench.proxies import COUNTER, PREFIX, REWRITTEN, SMALL

PACE: Final = 0.005  # seconds between two events of a stream
EVENT: Final = b'data: {"padding":"' + b"x" * 80 + b'"}\n\n'
CHUNK: Final = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
MESSAGE: Final = b"x" * 64
MASKED: Final = (
    b"\x81"
    + bytes((0x80 | len(MESSAGE), 1, 2, 3, 4))
    + bytes(byte ^ (1, 2, 3, 4)[place % 4] for place, byte in enumerate(MESSAGE))
)
ECHOED: Final = b"\x81" + bytes((len(MESSAGE),)) + MESSAGE
OPENING_SECONDS: Final = 10.0

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_JSON: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_EVENTS: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_SWITCH: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)
_HANDSHAKE: Final = (
    f"GET {PREFIX}/websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
).encode()


class State:
    """What the connections of the backend share."""

    def __init__(self) -> None:
        self.streams: set[asyncio.Transport] = set()
        self.requests = 0


class Backend(asyncio.Protocol):
    """One connection."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._transport: asyncio.Transport
        self._held = bytearray()
        self._body = 0  # bytes of it that have not come
        self._echoes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.streams.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._body > len(data):
            self._body -= len(data)
            return
        if self._body:
            data, self._body = data[self._body :], 0
            self._send(SMALL.encode())
        self._held += data
        if self._echoes:
            self._echo()
        while not self._echoes and not self._body and (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._held[:end])
            del self._held[: end + 4]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        self._state.requests += 1
        path = head.split(b" ", 2)[1].decode()
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if length is not None and int(length[1]):
            self._body = int(length[1])
            held = bytes(self._held)
            self._held.clear()
            self.data_received(held)
        elif path == f"{REWRITTEN}/events":
            self._transport.write(_EVENTS + CHUNK)
            self._state.streams.add(self._transport)
        elif path == f"{REWRITTEN}/websocket":
            key = re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", head)
            self._transport.write(_SWITCH % b64encode(sha1((key[1] if key else b"") + _GUID).digest()))
            self._echoes = True
        elif path == COUNTER:
            self._send(b"as nginx says it\n 1 1 %d \n" % self._state.requests)
        elif path != f"{REWRITTEN}/wait":
            self._send(SMALL.encode())

    def _send(self, body: bytes) -> None:
        self._transport.write(_JSON % len(body) + body)

    def _echo(self) -> None:
        """A whole message for each that came. All have the same length, whatever they are masked with."""
        whole, rest = divmod(len(self._held), len(MASKED))
        if whole and self._held[0] == MASKED[0]:
            self._transport.write(ECHOED * whole)
            del self._held[: len(self._held) - rest]
        elif whole:  # a ping or a close frame
            self._transport.close()


async def serve(port: int) -> None:
    """Serve until a signal."""
    state = State()
    loop = asyncio.get_running_loop()

    def send(due: float) -> None:
        loop.call_at(due + PACE, send, due + PACE)
        for stream in state.streams:
            stream.write(CHUNK)

    send(loop.time())
    server = await loop.create_server(lambda: Backend(state), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


class Reader(asyncio.Protocol):
    """One that has opened a stream, and counts what comes."""

    def __init__(self, first: bytes, mark: bytes, again: bytes) -> None:
        self._first, self._mark, self._again = first, mark, again
        self._rest = b""
        self._opened = False
        self.transport: asyncio.Transport
        self.counted = 0
        self.stopped = False
        self.lost = False
        self.began: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._first)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = not self.stopped
        if not self.began.done():
            self.began.set_result(None)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        if not self._opened:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            self._open(head)
        parts = data.split(self._mark)
        self._rest = parts[-1]
        self.counted += len(parts) - 1
        if len(parts) > 1 and self._again and not self.stopped:
            self.transport.write(self._again)

    def _open(self, head: bytes) -> None:
        self._opened = True
        if head.split(b" ", 2)[1] not in (b"200", b"101"):
            self.transport.abort()
            return
        self.began.set_result(None)
        if self._again:
            self.transport.write(self._again)


@dataclass(frozen=True, slots=True)
class Kind:
    """What is streamed."""

    first: bytes  # what a client sends
    mark: bytes  # what ends each message
    again: bytes = b""  # what it sends after each

    def measure(self, seconds: float) -> Measure:
        """CPU microseconds of a proxy for each message of all its streams."""

        def measured(runner: Runner) -> Sample:
            count, spent = uvloop.run(_window(runner.program.port, self, seconds, lambda: cpu_seconds(runner.pid)))
            return Sample(spent / count * 1e6, count)

        return measured


EVENTS: Final = Kind(f"GET {PREFIX}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode(), b'"}\n\n')
WEBSOCKETS: Final = Kind(_HANDSHAKE, ECHOED, MASKED)


async def _window(port: int, kind: Kind, seconds: float, spent: Callable[[], float]) -> tuple[int, float]:
    """How many messages come in so many seconds, and the CPU seconds meanwhile."""
    loop = asyncio.get_running_loop()
    readers = [Reader(kind.first, kind.mark, kind.again) for _ in range(CONNECTIONS)]
    try:
        for reader in readers:
            await loop.create_connection(lambda reader=reader: reader, "127.0.0.1", port)  # type: ignore[misc]
        await asyncio.wait([reader.began for reader in readers], timeout=OPENING_SECONDS)
        _expect_all(readers)
        began, used = [reader.counted for reader in readers], spent()
        await asyncio.sleep(seconds)
        used = spent() - used
        counted = [reader.counted - before for reader, before in zip(readers, began, strict=True)]
        _expect_all(readers)
    finally:
        for reader in readers:
            reader.stopped = True
            if hasattr(reader, "transport"):
                reader.transport.abort()
    if min(counted) == 0:
        raise BenchError(f"{counted.count(0)} of {CONNECTIONS} streams had nothing in {seconds:g} s")
    return sum(counted), used


def _expect_all(readers: Sequence[Reader]) -> None:
    lost = sum(reader.lost or not reader.began.done() for reader in readers)
    if lost:
        raise BenchError(f"{lost} of {CONNECTIONS} streams were refused or ended")


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
