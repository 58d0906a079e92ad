"""The former gateway's side of a takeover (`handover.py` has the protocol)."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.server.handover import (
    BEFORE,
    FILE,
    LONGEST,
    MOST_SOCKETS,
    PROTOCOL,
    message,
    opened,
    read,
    short_name,
    trusted,
)

logger = logging.getLogger("gateway.handover")

SERVE_SECONDS: Final = 300.0  # in which a new gateway serves, whatever its policies have to load first


@dataclass(frozen=True, slots=True)
class Giving:
    """Actions of the former gateway during a takeover: each is called on the loop, in this order."""

    stop: Callable[[], Awaitable[None]]  # what only one process may do ends
    own: Callable[[], Sequence[str]]  # kinds of listeners that only gateways have
    # Listeners, and connections, for the process with this pid.
    give: Callable[[int], Mapping[str, Sequence[socket.socket]]]
    leave: Callable[[], None]  # the new one serves
    go_on: Callable[[], None]  # it ended or hangs before that, or dies while this one leaves


@dataclass(slots=True)
class _Follower:
    """A process that takes the place of this one, or of one that has done so, and the last that it said."""

    pid: int
    said: str = ""


class Offer:
    """Waits for a new gateway that takes the place of this one. It is one new gateway at a time.

    This one leaves as long as one of those that follow it serves. Where the last one that did dies, this one goes on,
    but not if it ended by itself: then the gateway as a whole was stopped.
    """

    def __init__(self, giving: Giving) -> None:
        self._giving = giving
        self._directory: Path | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._followers: list[_Follower] = []  # that live
        self._stopped = False  # what only one process may do has ended here
        self._left = False
        self._over = False  # the gateway as a whole was stopped

    @property
    def followed(self) -> bool:
        """Whether a process lives that takes the place of this one, or is about to."""
        return bool(self._followers)

    def wait_in(self, state_directory: Path, *, instead: bool = False) -> None:
        """Wait there from now on, `instead` of a gateway that waits there. What cannot be done is logged."""
        if state_directory == self._directory:
            return
        self._directory = state_directory
        self.close()
        path = state_directory / FILE
        if not instead and _answers(path):
            reason = "another gateway uses it; give each one its own state_directory"
            logger.warning("no gateway can take over from this one by %s: %s", path, reason)
            return
        try:
            self._listener = _listening(path)
        except OSError as error:
            remedy = "remove the file, or make its directory writable"
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
            self._begin(self._asked_by(connection))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _asked_by(self, connection: socket.socket) -> None:
        with connection:
            pid = trusted(connection)
            if pid is None:
                logger.warning("another user asked for the listeners of this gateway, and was refused")
                return
            loop = asyncio.get_running_loop()
            asked = read(await loop.sock_recv(connection, LONGEST))
            if asked and asked.get("protocol") != PROTOCOL:
                refusal = f"it speaks version {asked.get('protocol')} of the protocol, this one {PROTOCOL}"
            elif self._followers:
                refusal = f"pid {self._followers[0].pid} is taking over already; end that one, or wait"
            else:
                refusal = None
            if refusal is not None:
                logger.warning("pid %d cannot take over: %s", pid, refusal)
                await loop.sock_sendall(connection, message(refused=refusal))
            elif asked:
                logger.info("pid %d takes over", pid)
                follower = _Follower(pid)
                self._followers.append(follower)
                await self._stop()
                given = self._giving.give(pid)
                names = [name for name, sockets in given.items() for _ in sockets]
                descriptors = [each.fileno() for sockets in given.values() for each in sockets]
                with suppress(OSError):  # it has ended, as is noticed next
                    socket.send_fds(connection, [message(listeners=names, own=list(self._giving.own()))], descriptors)
                for each in given.get(BEFORE, ()):
                    each.close()
                clock = loop.call_later(SERVE_SECONDS, self._too_late, connection, follower)
                await self._follow(connection, follower)
                clock.cancel()

    async def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            await self._giving.stop()

    async def _follow(self, connection: socket.socket, follower: _Follower) -> None:
        """Do what it says, until it ends."""
        with suppress(OSError):
            while said := await _said(connection):
                what, sockets = said
                word = what.get("says")
                if word == "next":
                    for each in sockets:
                        self._begin(self._introduced(each, what.get("next")))
                elif word == "serving":
                    follower.said, self._over = word, False
                    await self._stop()
                    self.close()
                    if not self._left:
                        self._left = True
                        self._giving.leave()
                elif word == "ending":
                    follower.said = word
        self._followers.remove(follower)
        self._ended(follower)

    async def _introduced(self, connection: socket.socket, pid: object) -> None:
        """Follow a process that takes the place of one that has taken the place of this one."""
        with connection:
            connection.setblocking(False)
            follower = _Follower(pid if isinstance(pid, int) else 0)
            self._followers.append(follower)
            await self._follow(connection, follower)

    def _too_late(self, connection: socket.socket, follower: _Follower) -> None:
        """It may hang, but it lives: no other one may take over beside it."""
        if follower.said:
            return
        late = f"pid {follower.pid} has not served within {SERVE_SECONDS:g} s"
        logger.error("%s; going on; see its log, and end it (kill %d) before another takeover", late, follower.pid)
        with suppress(OSError):  # it has ended, as is noticed next
            connection.send(message(refused=late))
        self._go_on()

    def _ended(self, follower: _Follower) -> None:
        if any(other.said == "serving" for other in self._followers):
            return
        self._over = self._over or follower.said == "ending"
        if self._over or not self._stopped:
            return
        when = "after it took over" if follower.said else "before it served"
        logger.error("pid %d has ended %s; going on", follower.pid, when)
        self._go_on()

    def _go_on(self) -> None:
        self._stopped = self._left = False
        self._giving.go_on()
        directory, self._directory = self._directory, None
        if directory is not None and self._listener is None:
            self.wait_in(directory)


async def _said(connection: socket.socket) -> tuple[dict[str, Any], list[socket.socket]] | None:
    """The next message, and the sockets that came with it; None: the other process has ended. Raises OSError."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(connection, LONGEST, MOST_SOCKETS)
        except BlockingIOError:
            readable.clear()
            loop.add_reader(connection, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(connection)
        else:
            return (read(data), opened(descriptors)) if data else None


def _answers(path: Path) -> bool:
    """Whether a process waits there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with connection, suppress(OSError), short_name(path) as short:
        connection.connect(short)
        return True
    return False


def _listening(path: Path) -> socket.socket:
    """Replace whatever is at the path by a socket of this process. Raises OSError."""
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{FILE}.{os.getpid()}")
    new.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.setblocking(False)
        os.fchmod(listener.fileno(), 0o600)  # so that there is no moment in which others may connect
        with short_name(new) as short:
            listener.bind(short)
        listener.listen(4)
        new.replace(path)
    except OSError:
        listener.close()
        new.unlink(missing_ok=True)
        raise
    return listener
