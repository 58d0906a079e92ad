"""How a new gateway takes the place of a running one, without a request that finds nobody.

The running one waits at a Unix socket in its state directory. The new one, its configuration read, asks there, and is
given the listening sockets (SCM_RIGHTS; unix(7)): connections that wait in the kernel's queues stay in them. Only when
the new one serves does the former one accept no more, and finish what it has. While it does, it keeps the listeners:
where the new one dies, it serves again. Each message is a datagram of JSON, one sequence of them for each takeover:

    new:    {"protocol": 1, "version": "0.1.0", "pid": 200}
    former: {"protocol": 1, "version": "0.1.0", "pid": 100, "listeners": ["http", "admin"]}, and the sockets
            or {"protocol": 1, ..., "refused": "why"}
    new:    {"says": "serving"}, and before it ends by itself {"says": "ending"}

The end of the connection is the end of the other process, however that came.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
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
_LONGEST: Final = 4096  # bytes of a message
_MOST_SOCKETS: Final = 64
_CREDENTIALS: Final = struct.Struct("iII")  # pid, user, group (unix(7), SO_PEERCRED)

Says = Literal["serving", "ending"]


@dataclass(frozen=True, slots=True)
class Former:
    """The gateway whose place is taken, and what it gave."""

    pid: int
    listeners: Listeners
    _connection: socket.socket

    def say(self, word: Says) -> None:
        """Tell it; nothing happens where it has ended."""
        with suppress(OSError):
            self._connection.send(_message(says=word))

    async def ended(self) -> None:
        """Return when it has ended."""
        self._connection.setblocking(False)
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while await loop.sock_recv(self._connection, _LONGEST):
                pass
        self._connection.close()


def ask(state_directory: Path) -> Former | None:
    """Take over from the gateway of this state directory. Waits for its answer; None: there is none.

    Raises StartError where it refuses, does not answer, or is another user's.
    """
    path = state_directory / FILE
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(ANSWER_SECONDS)
    pid: int | None = None
    try:
        with _short(path) as short:
            connection.connect(short)
        pid = _trusted(connection)
        if pid is None:
            raise StartError(
                f"{path} belongs to a gateway of another user, who may not take part; run both as one user"
            )
        connection.send(_message())
        data, descriptors, _, _ = socket.recv_fds(connection, _LONGEST, _MOST_SOCKETS)
    except TimeoutError:
        connection.close()
        raise StartError(_SILENT.format(pid=pid, path=path, seconds=ANSWER_SECONDS)) from None
    except OSError as error:  # there is no socket, nobody at it, or it ended a moment ago
        connection.close()
        if isinstance(error, PermissionError):
            logger.warning("%s may belong to a gateway of another user: %s; run both as one user", path, error.strerror)
        return None
    if not data:
        connection.close()
        return None
    listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for listener in listeners:
        listener.set_inheritable(False)
    return Former(pid, _named(path, data, listeners), connection)


_SILENT: Final = (
    "the gateway with pid {pid}, which waits at {path}, has not answered for {seconds:g} s, and goes on if it can; "
    "look at its log, end it (kill {pid}), and start again"
)


def _named(path: Path, data: bytes, listeners: list[socket.socket]) -> Listeners:
    """What the former gateway gave, by what it is for. Raises StartError."""
    answer = _read(data)
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
            f"the gateway at {path} ({former}) cannot be taken over: {reason}; it goes on. "
            "Restart it in the usual way: stop it, then start this one"
        )
    found: Listeners = {}
    for name, listener in zip(names, listeners, strict=True):
        if name in KINDS:
            found.setdefault(cast(Kind, name), []).append(listener)
        else:
            listener.close()
    return found


@dataclass(frozen=True, slots=True)
class Giving:
    """What a gateway does when its place is taken: each is called on the loop, in this order."""

    prepare: Callable[[], Awaitable[Listeners]]  # what only one process may do ends; what is given
    leave: Callable[[], None]  # the new one serves
    go_on: Callable[[], None]  # it ended before that, or dies while this one leaves


class Offer:
    """Waits for a new gateway that takes the place of this one. It is one new gateway at a time."""

    def __init__(self, giving: Giving) -> None:
        self._giving = giving
        self._directory: Path | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()
        self._successor: int | None = None  # its pid

    def wait_in(self, state_directory: Path, *, instead: bool = False) -> None:
        """Wait there from now on, `instead` of a gateway that waits there. What cannot be done is logged."""
        if state_directory == self._directory:
            return
        self._directory = state_directory
        self.close()
        path = state_directory / FILE
        if not instead and _answers(path):
            reason = "another gateway waits there; give each one a state_directory of its own"
            logger.warning("no gateway can take over from this one by %s: %s", path, reason)
            return
        try:
            self._listener = _listening(path)
        except OSError as error:
            remedy = "remove what is there, or make its directory writable"
            logger.warning("no gateway can take over from this one: %s: %s; %s", path, error.strerror, remedy)
            return
        self._accepting = asyncio.create_task(self._accept(self._listener))

    def close(self) -> None:
        """Wait no longer."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(self._serve(connection))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)

    async def _serve(self, connection: socket.socket) -> None:
        with connection:
            pid = _trusted(connection)
            if pid is None:
                logger.warning("another user asked for the listeners of this gateway, and was refused")
                return
            loop = asyncio.get_running_loop()
            asked = _read(await loop.sock_recv(connection, _LONGEST))
            if asked and asked.get("protocol") != PROTOCOL:
                refusal = f"it speaks version {asked.get('protocol')} of the protocol, this one {PROTOCOL}"
            elif self._successor is not None:
                refusal = f"pid {self._successor} is taking over already; end that one, or wait"
            else:
                refusal = None
            if refusal is not None:
                logger.warning("pid %d cannot take over: %s", pid, refusal)
                await loop.sock_sendall(connection, _message(refused=refusal))
            elif asked:
                self._successor = pid
                try:
                    await self._hand_over(connection, pid)
                finally:
                    self._successor = None

    async def _hand_over(self, connection: socket.socket, pid: int) -> None:
        logger.info("pid %d takes over", pid)
        said = ""
        try:
            given = await self._giving.prepare()
            names = [kind for kind, sockets in given.items() for _ in sockets]
            descriptors = [each.fileno() for sockets in given.values() for each in sockets]
            socket.send_fds(connection, [_message(listeners=names)], descriptors)
            while word := await _word(connection):
                if word == "serving":
                    self.close()
                    self._giving.leave()
                said = word
        except OSError:
            pass  # it has ended
        if said == "ending":
            return
        logger.error("pid %d has ended %s; going on", pid, "after it took over" if said else "before it served")
        self._giving.go_on()
        directory, self._directory = self._directory, None
        if directory is not None and self._listener is None:
            self.wait_in(directory)


async def _word(connection: socket.socket) -> str:
    """What the new gateway says; nothing: it has ended."""
    said = _read(await asyncio.get_running_loop().sock_recv(connection, _LONGEST)).get("says", "")
    return said if isinstance(said, str) else ""


def _message(**more: object) -> bytes:
    said = {"protocol": PROTOCOL, "version": version("flowmaster-gateway"), "pid": os.getpid()} | more
    return json.dumps(said).encode()


def _read(data: bytes) -> dict[str, Any]:
    """A message; empty where it is none."""
    with suppress(ValueError):
        message = json.loads(data)
        if isinstance(message, dict):
            return message
    return {}


def _trusted(connection: socket.socket) -> int | None:
    """The process at the other end, if it is of this user, or of root."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _ = _CREDENTIALS.unpack(data)
    return pid if user in (os.geteuid(), 0) else None


def _answers(path: Path) -> bool:
    """Whether a process waits there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection, suppress(OSError), _short(path) as short:
        connection.connect(short)
        return True
    return False


def _listening(path: Path) -> socket.socket:
    """Put a socket of one's own in the place of whatever is there. Raises OSError."""
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{FILE}.{os.getpid()}")
    new.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.setblocking(False)
        os.fchmod(listener.fileno(), 0o600)  # so that there is no moment in which others may connect
        with _short(new) as short:
            listener.bind(short)
        listener.listen(4)
        new.replace(path)
    except OSError:
        listener.close()
        new.unlink(missing_ok=True)
        raise
    return listener


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a path that is short enough for a socket's address, which may have 107 bytes. Raises OSError."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
