"""The local socket of a daemon of the Pilot network: all byte layouts that the bridge knows are here and in frames.py.

A frame is `u32 length, u8 command, body`, big-endian. Answers carry no number of their request, so that there is one
request at a time; unsolicited messages (connections, their bytes, their ends) are distinguished by their
command. The daemon reads a socket no further while a connection of that socket is stuck: callers that must not wait for
others has a socket of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from gateway.agents.link import shown

BIND: Final = 0x01
BOUND: Final = 0x02
DIAL: Final = 0x03
DIALED: Final = 0x04
ACCEPT: Final = 0x05
SEND: Final = 0x06
RECEIVE: Final = 0x07
CLOSE: Final = 0x08
CLOSED: Final = 0x09
ERROR: Final = 0x0A
INFO: Final = 0x0D
INFO_IS: Final = 0x0E
HANDSHAKE: Final = 0x0F
HANDSHAKE_IS: Final = 0x10
RESOLVE: Final = 0x11
RESOLVED: Final = 0x12

ASK_TRUST: Final = b"\x01"
APPROVE: Final = b"\x02"
REJECT: Final = b"\x03"
PENDING: Final = b"\x04"
TRUSTED: Final = b"\x05"
REVOKE: Final = b"\x06"

FRAME_MOST: Final = 4 * 1024 * 1024  # bytes; the daemon's own limit is 1 MiB of payload
SEND_MOST: Final = 64 * 1024  # bytes of one piece of a stream
ANSWER_WITHIN: Final = (
    10.0  # seconds; a socket whose answer is late is given up, since the next one would be taken for it
)
DIAL_WITHIN: Final = 40.0


class DaemonError(Exception):
    """The daemon answers with an error."""


class DaemonGone(ConnectionError):
    """The socket is not there, is not ours, or has ended."""


class Streams(Protocol):
    """Receives the events of a socket's connections. Called in the order of their bytes, and must not wait."""

    def opened(self, connection: int, node: int, port: int) -> None:
        """A node has called."""

    def received(self, connection: int, data: bytes) -> None:
        """Bytes of it."""

    def ended(self, connection: int) -> None:
        """It is over; may come twice."""


class NoStreams:
    """For sockets without connections."""

    def opened(self, connection: int, node: int, port: int) -> None:
        pass

    def received(self, connection: int, data: bytes) -> None:
        pass

    def ended(self, connection: int) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Connection:
    """The state of a connection, by the daemon.

    `arrived` counts bytes of ours that the other node has, `window` is how many more it has room for, and `congestion`
    how many may be under way. None: the daemon does not say.
    """

    id: int
    arrived: int
    window: int | None
    congestion: int | None
    unacknowledged: bool


@dataclass(slots=True)
class _Waiting:
    command: int
    answer: asyncio.Future[bytes]


class DaemonSocket:
    """One connection to the daemon. Every request raises DaemonError or DaemonGone."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, streams: Streams, within: float
    ) -> None:
        self._within = within
        self._reader = reader
        self._writer = writer
        self._streams = streams
        self._turn = asyncio.Lock()
        self._waiting: _Waiting | None = None
        self._task = asyncio.create_task(self._read(), name="socket of the daemon")

    @property
    def unsent(self) -> int:
        """Bytes that the daemon has not taken yet."""
        return self._writer.transport.get_write_buffer_size()

    async def ended(self) -> None:
        """Wait until the daemon has closed it, or it was closed."""
        await asyncio.wait({self._task})

    async def close(self) -> None:
        """End it, with its connections."""
        self._task.cancel()
        await asyncio.wait({self._task})
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def info(self) -> Mapping[str, Any]:
        """The daemon's own state: node_id, address, hostname, public_key, version, conn_list ..."""
        return _object(await self._ask(INFO, b"", INFO_IS))

    async def resolve(self, hostname: str) -> Mapping[str, Any]:
        """The node that has this name at the rendezvous: node_id, address, public_key (base64)."""
        return _object(await self._ask(RESOLVE, hostname.encode(), RESOLVED))

    async def trusted(self) -> Sequence[Mapping[str, Any]]:
        """Nodes that are trusted: node_id, mutual, public_key (base64, may be empty)."""
        return _objects(_object(await self._ask(HANDSHAKE, TRUSTED, HANDSHAKE_IS)).get("trusted"))

    async def pending(self) -> Sequence[Mapping[str, Any]]:
        """Nodes that asked for trust: node_id, justification, public_key (may be empty)."""
        return _objects(_object(await self._ask(HANDSHAKE, PENDING, HANDSHAKE_IS)).get("pending"))

    async def handshake(self, step: bytes, node: int, text: str = "") -> Mapping[str, Any]:
        """One of ASK_TRUST (with a justification), APPROVE, REJECT (with a reason) and REVOKE."""
        return _object(await self._ask(HANDSHAKE, step + struct.pack("!I", node) + text.encode(), HANDSHAKE_IS))

    async def bind(self, port: int) -> None:
        """Have all calls to a port of this node."""
        await self._ask(BIND, struct.pack("!H", port), BOUND)

    async def dial(self, node: int, port: int, network: int = 0) -> int:
        """Call a node; the number of the connection."""
        answer = await self._ask(DIAL, struct.pack("!HIH", network, node, port), DIALED, DIAL_WITHIN)
        if len(answer) < 4:
            raise DaemonError("an answer to a call without the number of its connection")
        return int(struct.unpack_from("!I", answer)[0])

    def send(self, connection: int, data: bytes) -> None:
        """Bytes of a connection. The daemon does not say when they could not be sent."""
        head = struct.pack("!I", connection)
        for start in range(0, len(data), SEND_MOST):
            self._write(SEND, head + data[start : start + SEND_MOST])

    def end(self, connection: int) -> None:
        """Close a connection."""
        self._write(CLOSE, struct.pack("!I", connection))

    async def drain(self) -> None:
        """Wait until the daemon has taken most of what was written."""
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise DaemonGone("the daemon has closed its socket") from error

    def _write(self, command: int, body: bytes) -> None:
        if not self._writer.is_closing():  # whoever waits for an answer learns it from the reader
            self._writer.write(struct.pack("!IB", len(body) + 1, command) + body)

    async def _ask(self, command: int, body: bytes, answer: int, within: float | None = None) -> bytes:
        within = within or self._within
        async with self._turn:
            if self._task.done():
                raise DaemonGone("the daemon has closed its socket")
            waiting = self._waiting = _Waiting(answer, asyncio.get_running_loop().create_future())
            try:
                async with asyncio.timeout(within):
                    self._write(command, body)
                    return await waiting.answer
            except TimeoutError as error:
                raise DaemonGone(f"the daemon has not answered within {within:g} s") from error
            finally:
                self._waiting = None
                if not waiting.answer.done() or waiting.answer.cancelled():
                    self._task.cancel()  # its answer would be taken for the next one

    async def _read(self) -> None:
        try:
            while True:
                (length,) = struct.unpack("!I", await self._reader.readexactly(4))
                if not 1 <= length <= FRAME_MOST:
                    break
                frame = await self._reader.readexactly(length)
                self._take(frame[0], frame[1:])
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            if self._waiting is not None and not self._waiting.answer.done():
                self._waiting.answer.set_exception(DaemonGone("the daemon has closed its socket"))
            self._writer.transport.abort()

    def _take(self, command: int, body: bytes) -> None:
        if command == RECEIVE and len(body) >= 4:
            self._streams.received(struct.unpack_from("!I", body)[0], body[4:])
        elif command == ACCEPT and len(body) >= 14:
            port, connection, _, node, _ = struct.unpack_from("!HIHIH", body)
            self._streams.opened(connection, node, port)
        elif command == CLOSED and len(body) >= 4:
            self._streams.ended(struct.unpack_from("!I", body)[0])
        elif self._waiting is not None and not self._waiting.answer.done():
            if command == self._waiting.command:
                self._waiting.answer.set_result(body)
            elif command == ERROR:
                self._waiting.answer.set_exception(DaemonError(shown(body[2:].decode(errors="replace"))))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise DaemonError("an answer that is no JSON") from error
    if not isinstance(found, dict):
        raise DaemonError("an answer that is no object of JSON")
    return found


def connections_of(info: Mapping[str, Any]) -> Sequence[Connection]:
    """The connections in the daemon's answer to `info`."""
    found = []
    for item in _objects(info.get("conn_list")):
        arrived = _number(item.get("bytes_sent")) - _number(item.get("in_flight"))
        window, congestion = (_number(item[name]) if name in item else None for name in ("peer_recv_win", "cong_win"))
        found.append(Connection(_number(item.get("id")), arrived, window, congestion, bool(item.get("unacked"))))
    return found


def _number(found: object) -> int:
    return found if isinstance(found, int) else 0


def _objects(found: object) -> Sequence[Mapping[str, Any]]:
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def owned(path: str) -> None:
    """Raise DaemonGone unless this is a socket of ours: another program could have made one in a shared directory."""
    try:
        found = os.lstat(path)
    except OSError as error:
        raise DaemonGone(
            f"no daemon at {path}: {error.strerror}; start it, or say where its socket is (agents.socket)"
        ) from error
    if not stat.S_ISSOCK(found.st_mode):
        raise DaemonGone(f"{path} is no socket")
    if found.st_uid != os.geteuid():
        raise DaemonGone(
            f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}: daemon and bridge must have the"
            " same user; give the daemon a socket in a directory of its own (-socket)"
        )


async def connected(path: str, streams: Streams | None = None, within: float = ANSWER_WITHIN) -> DaemonSocket:
    """A connection to the daemon at this socket. Raises DaemonGone, which says what is wrong and what to do."""
    owned(path)
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError) as error:
        raise DaemonGone(f"no daemon answers at {path}: {error or 'no connection in time'}; start it") from error
    if _user_behind(writer) != os.geteuid():
        writer.transport.abort()
        raise DaemonGone(f"who listens at {path} is another user")
    return DaemonSocket(reader, writer, streams or NoStreams(), within)


def _user_behind(writer: asyncio.StreamWriter) -> int:
    own = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED"):
        return os.geteuid()  # not Linux: the owner of the file has been looked at
    return int(struct.unpack("3i", own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])


class Names:
    """Asks the rendezvous by a socket of its own, since that may take long, and a new one after each late answer."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: DaemonSocket | None = None

    async def resolve(self, hostname: str) -> Mapping[str, Any]:
        """See `DaemonSocket.resolve`. Raises DaemonError."""
        try:
            self._socket = self._socket or await connected(self._path)
            return await self._socket.resolve(hostname)
        except DaemonGone as error:
            await self.close()
            raise DaemonError(str(error)) from error

    async def close(self) -> None:
        """End the socket."""
        opened, self._socket = self._socket, None
        if opened is not None:
            await opened.close()


@contextlib.asynccontextmanager
async def daemon_socket(
    path: str, streams: Streams | None = None, within: float = ANSWER_WITHIN
) -> AsyncIterator[DaemonSocket]:
    """The same, closed at the end."""
    opened = await connected(path, streams, within)
    try:
        yield opened
    finally:
        await opened.close()
