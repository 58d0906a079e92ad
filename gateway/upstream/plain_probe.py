"""One look at an endpoint over plain TCP, by the shortest way: no task, no timer and no transport of its own.

A gateway may have ten thousand endpoints to check, and most are addresses that are asked without TLS. What is asked and
what passes is the same as in `probe.py`, which looks at all others.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Final

from gateway.deadlines import NEVER, Deadlines
from gateway.errors import ErrorKind
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Checked
from gateway.upstream.http1.codec import BODY, HEAD, BadResponse, CutShort, ResponseReader, encode_request
from gateway.upstream.probe import BODY_LIMIT, HEADERS, Check
from gateway.upstream.transport import refusal

_READ: Final = 16 * 1024  # bytes
_UNDER_WAY: Final = (0, errno.EINPROGRESS)
_NOT_YET: Final = (errno.EAGAIN, errno.ENOTCONN)


class PlainProbe:
    """A check that is under way, of an endpoint that `is_plain`. It takes no longer than its time-out."""

    __slots__ = (
        "_body",
        "_check",
        "_connected",
        "_date",
        "_deadlines",
        "_done",
        "_endpoint",
        "_loop",
        "_reader",
        "_socket",
        "_started",
        "_unsent",
        "deadline",
    )

    def __init__(self, endpoint: Endpoint, check: Check, done: Callable[[Checked], object]) -> None:
        """Begin. `done` is called with what came of it, but not from here."""
        self._endpoint = endpoint
        self._check = check
        self._deadlines: Deadlines = endpoint.connections.deadlines
        self._done = done
        self._started = time.perf_counter()
        self._loop = asyncio.get_running_loop()
        self._reader = ResponseReader()
        self._body = self._date = b""
        self._connected = False
        self._unsent = self._request()
        self._socket: socket.socket | None = None
        self.deadline = self._loop.time() + check.timeout
        self._deadlines.watch(self)
        try:
            host, port = self._endpoint.address.host, self._endpoint.address.port
            sock = self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            code = sock.connect_ex((host, port))
            if code not in _UNDER_WAY:
                raise OSError(code, os.strerror(code))
            if self._check.path is None:
                self._loop.add_writer(sock, self._writable)
            else:
                self._send(sock)  # on the same machine, it is connected already
        except OSError as error:
            self._loop.call_soon(self._failed, error)

    def cancel(self) -> None:
        """Cancel it; its result is discarded."""
        self.deadline = NEVER
        self._deadlines.forget(self)
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None

    def expired(self, now: float) -> None:
        """See `Timed`."""
        if not self._connected:
            self._endpoint.connections.unreachable = True
        self._end(f"no answer in {self._check.timeout:g} s")

    def _request(self) -> bytes:
        check = self._check
        if check.path is None:
            return b""
        self._reader.begin(check.method)
        return encode_request(check.method, check.path, b"", check.host or self._endpoint.authority, HEADERS)

    def _writable(self) -> None:
        """The socket is connected, failed, or accepts more of the request."""
        sock = self._socket
        if sock is None:
            return
        self._loop.remove_writer(sock)
        try:
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            if self._check.path is None:
                self._endpoint.connections.unreachable = False
                self._end("")
            else:
                self._send(sock)
        except OSError as error:
            self._failed(error)

    def _send(self, sock: socket.socket) -> None:
        """Send the request, or what is left of it. Raises OSError."""
        try:
            self._unsent = self._unsent[sock.send(self._unsent) :]
        except OSError as error:
            if error.errno not in _NOT_YET:
                raise
        else:
            if not self._connected:
                self._connected, self._endpoint.connections.unreachable = True, False
                self._loop.add_reader(sock, self._readable)
        if self._unsent:
            self._loop.add_writer(sock, self._writable)

    def _readable(self) -> None:
        """Something has come. All of it is taken: of what was reset behind it, a loop may say nothing more (libuv)."""
        while (sock := self._socket) is not None and self._has_read(sock):
            pass

    def _has_read(self, sock: socket.socket) -> bool:
        reader = self._reader
        try:
            data = sock.recv(_READ)
            if data:
                reader.feed(data)
            else:
                reader.eof()
        except BlockingIOError:
            return False
        except BadResponse as error:
            self._end(f"{self._endpoint.label} sent an invalid response: {error}")
        except CutShort:
            self._cut_short()
        except OSError as error:
            self._failed(error)
        else:
            if reader.phase is not HEAD:
                # The head of an answer is there, and some of its body, perhaps all.
                check = self._check
                self._date = reader.fields.get(b"date", b"")
                self._body += reader.take()
                wanted = check.contains and check.expects(reader.status)
                if not wanted or reader.phase is not BODY or len(self._body) >= BODY_LIMIT:
                    self._end(check.fault(reader.status, self._body[:BODY_LIMIT]))
        return True

    def _failed(self, error: OSError) -> None:
        if self._connected:
            self._cut_short()
            return
        failure = refusal(self._endpoint.label, error)
        self._endpoint.connections.unreachable = asked = failure.kind is not ErrorKind.OVERLOADED
        self._end(failure.detail.removeprefix(f"{self._endpoint.label}: "), asked=asked)

    def _cut_short(self) -> None:
        when = "in the middle of its response" if self._reader.started else "before it answered"
        self._end(f"{self._endpoint.label} closed the connection {when}")

    def _end(self, fault: str, *, asked: bool = True) -> None:
        if self.deadline == NEVER:
            return
        self.cancel()
        self._reader.forget()
        seconds = time.perf_counter() - self._started
        self._done(Checked(time.time(), seconds, not fault, fault or "passed", asked, self._date))
