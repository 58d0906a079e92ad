"""Takeover: how a new gateway replaces a running one without refusing a connection. The protocol between the two.

The running one waits at a Unix socket in its state directory. The new one, its configuration read, asks there, and is
given the listening sockets (SCM_RIGHTS; unix(7)): connections that wait in the kernel's queues stay in them. Only when
the new one serves does the former one accept no more, and finish what it has. While it does, it keeps the listeners:
where the new one dies, it serves again. Each message is a datagram of JSON, one sequence of them for each takeover:

    new:    {"protocol": 1, "version": "0.1.0", "pid": 200}
    former: {"protocol": 1, "version": "0.1.0", "pid": 100, "listeners": ["http", "admin", "former"], "own": ["http",
            "admin"]}, and the sockets; "own" are those that no other process holds, as systemd would,
            or {"protocol": 1, ..., "refused": "why"}
    former: {"protocol": 1, ..., "refused": "why"}, if the next comes too late: it goes on, and the new one ends
    new:    {"says": "serving"}, and before it ends by itself {"says": "ending"}

The end of the connection is the end of the other process, however that came.

Gateways that were taken over may still finish what they have when the one that follows them is taken over itself. They
must hear what becomes of the third one, too: else, where the second dies before the third serves, they go on beside it.
So the second introduces it to all before it: it makes a pair of connected sockets for each, and gives one end to the
third ("former", among its listeners) and the other to the gateway before, on the connection that it has with that one:

    second: {"says": "next", "next": 300}, and the socket on which pid 300 says all that it says to the second
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, cast

from gateway.server.listen import KINDS, Kind, Listeners, StartError

logger = logging.getLogger("gateway.handover")

FILE: Final = "takeover.socket"  # in the state directory
PROTOCOL: Final = 1
ANSWER_SECONDS: Final = 10.0  # for the former gateway; its admin port finishes what it is asked first
LONGEST: Final = 4096  # bytes of a message
MOST_SOCKETS: Final = 64
_CREDENTIALS: Final = struct.Struct("iII")  # pid, user, group (unix(7), SO_PEERCRED)

_MOST_BEFORE: Final = 16  # gateways that still finish what they have, and are notified of a new one
BEFORE: Final = "former"  # among the names of listeners

Says = Literal["serving", "ending"]


@dataclass(frozen=True, slots=True)
class Former:
    """The gateway whose place is taken, and what it gave. `_before`: connections to those whose place it had taken."""

    pid: int
    listeners: Listeners
    own: frozenset[str]  # kinds of which only gateways that follow each other have the listeners, and systemd has not
    _connection: socket.socket
    _before: tuple[socket.socket, ...]

    def say(self, word: Says) -> None:
        """Send it to all of them; those that have ended are skipped."""
        for connection in (self._connection, *self._before):
            with suppress(OSError):
                connection.send(message(says=word))

    def check(self) -> None:
        """Raises StartError where it has gone on since."""
        self._connection.setblocking(False)
        with suppress(OSError):  # it has said nothing
            reason = read(self._connection.recv(LONGEST)).get("refused")
            if reason is not None:
                raise StartError(f"the gateway with pid {self.pid} goes on: {reason}; look at the log, and start again")

    async def ended(self) -> None:
        """Return when it has ended."""
        await _closed(self._connection)

    async def all_ended(self) -> None:
        """Return when those before it have ended, too, if they did not end long ago."""
        await asyncio.gather(*map(_closed, self._before))

    def introduce(self, pid: int) -> list[socket.socket]:
        """Notify all of them that this process will replace this one. Connections to them, for that process."""
        ends: list[socket.socket] = []
        for connection in (self._connection, *self._before)[:_MOST_BEFORE]:
            here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with there:
                try:
                    socket.send_fds(connection, [message(says="next", next=pid)], [there.fileno()])
                    ends.append(here)
                except OSError:  # it has ended
                    here.close()
        return ends


async def _closed(connection: socket.socket) -> None:
    """Return when the other end is closed, and close this one."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    with connection, suppress(OSError):
        while await loop.sock_recv(connection, LONGEST):
            pass


def ask(state_directory: Path) -> Former | None:
    """Take over from the gateway of this state directory. Waits for its answer; None: there is none.

    Raises StartError where it refuses, does not answer, or is another user's.
    """
    path = state_directory / FILE
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(ANSWER_SECONDS)
    pid: int | None = None
    try:
        with short_name(path) as short:
            connection.connect(short)
        pid = trusted(connection)
        if pid is None:
            raise StartError(
                f"{path} belongs to a gateway of another user, who may not take part; run both as one user"
            )
        connection.send(message())
        data, descriptors, _, _ = socket.recv_fds(connection, LONGEST, MOST_SOCKETS)
    except TimeoutError:
        connection.close()
        raise StartError(_SILENT.format(pid=pid, path=path, seconds=ANSWER_SECONDS)) from None
    except OSError as error:  # there is no socket, no listener, or it ended a moment ago
        connection.close()
        if isinstance(error, PermissionError):
            logger.warning("%s may belong to a gateway of another user: %s; run both as one user", path, error.strerror)
        return None
    if not data:
        connection.close()
        return None
    listeners, before = _named(path, data, opened(descriptors))
    own = read(data).get("own")
    return Former(pid, listeners, frozenset(own if isinstance(own, list) else ()), connection, tuple(before))


_SILENT: Final = (
    "the gateway with pid {pid}, which waits at {path}, has not answered for {seconds:g} s, and goes on if it can; "
    "look at its log, end it (kill {pid}), and start again"
)


def _named(path: Path, data: bytes, listeners: list[socket.socket]) -> tuple[Listeners, list[socket.socket]]:
    """The former gateway's listeners by purpose, and connections to those before it. Raises StartError."""
    answer = read(data)
    reason = answer.get("refused")
    if answer.get("protocol") != PROTOCOL:
        reason = f"it speaks version {answer.get('protocol')} of the protocol, this one {PROTOCOL}"
    names = answer.get("listeners", [])
    if reason is None and (not isinstance(names, list) or len(names) != len(listeners)):
        reason = "it gave other sockets than it named"
    if reason is not None:
        for listener in listeners:
            listener.close()
        former = f"pid {answer.get('pid')}, version {answer.get('version')}"
        raise StartError(
            f"the gateway at {path} ({former}) cannot be taken over: {reason}; it continues. "
            "Restart it without a takeover: stop it, then start this one"
        )
    found: Listeners = {}
    before: list[socket.socket] = []
    for name, listener in zip(names, listeners, strict=True):
        if name in KINDS:
            found.setdefault(cast(Kind, name), []).append(listener)
        elif name == BEFORE:
            before.append(listener)
        else:
            listener.close()
    return found, before


def message(**more: object) -> bytes:
    """One of this process."""
    said = {"protocol": PROTOCOL, "version": version("flowmaster-gateway"), "pid": os.getpid()} | more
    return json.dumps(said).encode()


def read(data: bytes) -> dict[str, Any]:
    """A message; empty where it is none."""
    with suppress(ValueError):
        found = json.loads(data)
        if isinstance(found, dict):
            return found
    return {}


def trusted(connection: socket.socket) -> int | None:
    """The process at the other end, if it is of this user, or of root."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _ = _CREDENTIALS.unpack(data)
    return pid if user in (os.geteuid(), 0) else None


def opened(descriptors: Sequence[int]) -> list[socket.socket]:
    """Sockets that another process gave, for this one alone."""
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for each in sockets:
        each.set_inheritable(False)
    return sockets


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name for a path that is short enough for a socket's address, which may have 107 bytes. Raises OSError."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
