"""Accepts connections: all that wait are taken, and a few of them let in with each turn of the loop, client by client.

What a new connection costs comes in the turns behind it, and one client may open thousands in a second. Let in all at
once, they would hold up the requests of all others; and behind those of one client, the connections of others
would wait in the kernel's queue, which knows no clients. So they are taken out of it at once, which costs little, and
wait here, where each client has its turn. What they bring waits once more, in `turns.py`: so that behind one address,
too, what is served goes before what is refused. For that, they must not wait here for long.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Final

from gateway.algorithms.fairness import FairQueue, place_of
from gateway.outside.throttled_log import ThrottledLog
from gateway.server.listen import end_for_all, turn_away
from gateway.server.taken import take, taken_as

logger = logging.getLogger("gateway")

TAKEN_AT_ONCE: Final = 64  # connections that are taken from the kernel in one turn of the loop
LET_IN: Final = 4  # and let in, as long as turns are short
LET_IN_PER_SECOND: Final = 2000  # so that long turns, of which there are few in a second, let in more of them
MOST_LET_IN: Final = 16  # in one turn: what they bring makes the next turns long, and these must not let in more
ROOM: Final = 1024  # connections that wait here; others wait in the kernel
SCARCE_SECONDS: Final = 0.05  # until it is tried again, where there are no descriptors, or no memory
TROUBLE_SECONDS: Final = 60.0  # for which /health reports it
REMEDY: Final = "raise the number of open files (ulimit -n, LimitNOFILE), or lower limits.connections"

_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Connecting = Coroutine[Any, None, object]  # waits for futures


class Acceptor:
    """Serves listening sockets. `protocol` is given a socket and the client's address; `room` is how many may wait."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[socket.socket],
        protocol: Callable[[socket.socket, str], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None = None,
        room: Callable[[], int] = lambda: ROOM,
    ) -> None:
        self._loop = loop
        self._listeners = list(listeners)
        self._made = {listener: taken_as(listener) for listener in listeners}
        self._protocol = protocol
        self._tls = tls
        self._room = room
        self._waiting: FairQueue[tuple[socket.socket, str]] = FairQueue()
        self._listening = False
        self._paused = False
        self._due = False
        self._last_turn = 0.0  # loop time
        self._scarce = -TROUBLE_SECONDS, ""  # when there were no descriptors the last time, and what was said
        self._log = ThrottledLog(logger.error, TROUBLE_SECONDS)
        self._listen()

    def turn_away(self) -> None:
        """Make the kernel accept no more connections, shortly before `close`."""
        if not self._paused:
            for listener in self._listeners:
                turn_away(listener)

    def close(self, *, for_all: bool = False) -> None:
        """Take what waits in the kernel's queue, which ends with its listener, and then no more. `for_all`: nor does
        another process that has the listener.

        Not where another process has the listener as well, and serves what is in the queue (`pause`).
        """
        if not self._paused:
            for listener in self._listeners:
                while self._take(listener):
                    pass
                if for_all:
                    end_for_all(listener)
        self.pause()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def troubles(self) -> Iterable[str]:
        """The reason why connections waited a short time ago."""
        at, reason = self._scarce
        seconds = self._loop.time() - at
        if seconds < TROUBLE_SECONDS:
            yield f"connections had to wait {seconds:.0f} s ago: {reason}; {REMEDY}"

    def abandon(self) -> None:
        """Close those who still wait."""
        while self._waiting:
            self._waiting.take()[0].close()

    @property
    def waiting(self) -> int:
        """Connections that were taken, and not yet let in."""
        return len(self._waiting)

    def pause(self) -> None:
        """Take no more, until `resume`; those who wait are let in."""
        self._paused = True
        self._stop_listening()

    def resume(self) -> None:
        """Take them again."""
        self._paused = False
        self._listen()

    def _listen(self) -> None:
        if not self._listening and not self._paused:
            self._listening = True
            for listener in self._listeners:
                listener.setblocking(False)
                self._loop.add_reader(listener, self._take, listener)

    def _stop_listening(self) -> None:
        if self._listening:
            self._listening = False
            for listener in self._listeners:
                self._loop.remove_reader(listener)

    def _take(self, listener: socket.socket) -> bool:
        """Take what waits in the kernel; whether more may wait there."""
        more = False
        try:
            for _ in range(TAKEN_AT_ONCE):
                accepted, address = take(listener, self._made[listener])
                self._waiting.put(place_of(address), (accepted, address))
            more = True
        except BlockingIOError:
            pass  # that was all
        except OSError as error:  # otherwise this one is closed already
            if error.errno in _SCARCE:
                self._stop_listening()
                self._loop.call_later(SCARCE_SECONDS, self._listen)
                self._scarce = self._loop.time(), error.strerror or str(error)
                self._log.line("connections wait: %s; %s", self._scarce[1], REMEDY)
        if len(self._waiting) >= self._room():
            self._stop_listening()
        if self._waiting and not self._due:
            self._last_turn = self._loop.time()
            self._let_in()
        return more

    def _let_in(self) -> None:
        """A turn of the loop: let in one of each client, again and again, until there are enough."""
        now = self._loop.time()
        most = min(MOST_LET_IN, max(LET_IN, int((now - self._last_turn) * LET_IN_PER_SECOND)))
        self._last_turn = now
        for _ in range(min(most, len(self._waiting))):
            self._serve(*self._waiting.take())
        self._due = len(self._waiting) > 0
        if self._due:
            self._loop.call_soon(self._let_in)
        if not self._listening and len(self._waiting) <= self._room() // 2:
            self._listen()

    def _serve(self, accepted: socket.socket, address: str) -> None:
        if accepted.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            accepted.close()  # it was reset while it waited: there is no client for an answer
            return
        accepted.setblocking(False)
        protocol = partial(self._protocol, accepted, address)
        self._go_on(accepted, self._loop.connect_accepted_socket(protocol, accepted, ssl=self._tls))

    def _go_on(self, accepted: socket.socket, connecting: Connecting, _: object = None) -> None:
        """Does without a task, which would begin a turn later, and cost as much as all the rest of this."""
        try:
            awaited = connecting.send(None)
        except StopIteration:
            pass  # it is served
        except OSError:
            accepted.close()  # it is closed already
        else:
            awaited.add_done_callback(partial(self._go_on, accepted, connecting))
