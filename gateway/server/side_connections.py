"""Connections to what stands beside the gateway, such as the port of metrics, which anybody in a network may reach.

uvicorn limits neither how large a request's head is nor how long one takes, or its body, nor how many requests wait
behind one that is not answered, nor how long an answer is not read, nor how much of all of them: a head without an end,
many requests at once or answers that many do not read would take the memory of the gateway itself, and clients that
send nothing, or read nothing, its descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, cast

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.outside.throttled_log import ThrottledLog
from gateway.reading.clocked import READ_SECONDS, Unread, clocked, end

HEAD_LIMIT: Final = 64 * 1024  # bytes of all lines of a head and its trailers; the same of one line that has no end
HEAD_SECONDS: Final = 15.0  # for a whole head, for a whole body, and for what is left of one that is answered already
MOST_WAITING: Final = 8  # requests of one connection that have come and are not answered
MOST_CONNECTIONS: Final = 256  # to one port
MOST_UNREAD: Final = 64 * 1024 * 1024  # bytes of answers that wait for clients of one port; then no more are made
TICK_SECONDS: Final = 1.0  # after which the date of answers is another one
END_SECONDS: Final = 1.0  # for what is under way at the end
LOOK_SECONDS: Final = 0.01  # at the end: whether it is still

LOG_SECONDS: Final = 60.0  # between two lines about connections that are refused

_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW: Final = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
)


logger = logging.getLogger("gateway")


class _TooLargeError(Exception):
    """More header lines have come than may."""


class _TooManyError(Exception):
    """More requests have come than may wait."""


class SideConnection(HttpToolsProtocol):
    """One of them; how long nothing comes between two requests is limited by uvicorn."""

    _lines = 0  # bytes of the target and the header lines
    _unread = 0  # bytes since the parser has found something in them
    _too_large = False
    _last = False  # whether nothing is read any more of what comes behind the requests that wait
    _running: RequestResponseCycle | None = None  # the request that is being answered, or was
    _waiting: asyncio.TimerHandle | None = None  # until a head, or a body, has come

    def __init__(self, *arguments: Any, unread: Unread, log: ThrottledLog, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._all_unread = unread
        self._log = log

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(clocked(transport, self._all_unread))
        if len(self.connections) > MOST_CONNECTIONS:
            host, port = transport.get_extra_info("sockname")[:2]
            said = "a connection to %s:%s is refused: %d are open; find who keeps them, such as pages and event streams"
            self._log.line(said, host, port, MOST_CONNECTIONS)
            transport.abort()
        else:
            self._await_request()

    def data_received(self, data: bytes) -> None:
        if self._last:
            return
        self._unread += len(data)
        super().data_received(data)
        if self._unread > HEAD_LIMIT and not self.transport.is_closing():
            self._refuse()
        elif self._answered:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_waiting()
        end(self.transport)
        super().connection_lost(exc)
        self.pipeline.clear()
        self._leave_running()  # uvicorn tells the newest request only

    def send_400_response(self, msg: str) -> None:
        if self._too_large or self._is_behind:
            self._refuse()
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        if not self._answered and len(self.pipeline) + 1 >= MOST_WAITING:
            raise _TooManyError
        self._lines = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unread = self._lines = 0
        self._end_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._end_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._end_waiting()
        super().on_response_complete()

    @property
    def _answered(self) -> bool:
        """Whether there is no request that an application has to answer still."""
        return self.cycle is None or self.cycle.response_complete

    def _count(self, size: int) -> None:
        self._unread = 0
        self._lines += size
        if self._lines > HEAD_LIMIT:
            self._too_large = True
            raise _TooLargeError

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)
        if cycle.more_body:
            self._await_request()

    @property
    def _is_behind(self) -> bool:
        """Whether what comes now is part of a request behind others whose answers come first."""
        return not self._answered and (self.cycle is not self._running or not self.cycle.more_body)

    def _refuse(self) -> None:
        """Answer that it is too large; behind other requests, only close the connection once they are answered."""
        if not self._is_behind:
            self._end_with(_TOO_LARGE)
            return
        if self.cycle.more_body:  # only a part of this one has come
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else cast(RequestResponseCycle, self._running)
        self._last = True
        self.cycle.keep_alive = False

    def _end_with(self, answer: bytes) -> None:
        """Close the connection behind this answer to the request that is under way, if that has none."""
        if self._running is None or self._answered or not self._running.response_started:
            self.transport.write(answer)
        self._leave_running()
        self.transport.close()

    def _leave_running(self) -> None:
        """Tell the application that no answer of its own is sent any more."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def _await_request(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._waiting = None
        if self._answered:
            self.transport.close()
        elif self.flow.read_paused:  # it is not the client who is slow: nothing asks for more of its body
            self._await_request()
        elif self._running is not None and not self._running.response_started:
            said = f"the body of the request did not come within {HEAD_SECONDS:g} s: send all of it at once"
            content = json.dumps({"error": said}).encode()
            self._end_with(_TOO_SLOW % len(content) + content)

    def _end_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class SideServer(uvicorn.Server):
    """Serves what stands beside the gateway: the admin API, metrics.

    It ends at once where nothing is under way. uvicorn's looks ten times a second whether it shall, and then waits as
    long again in any case.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._ending = asyncio.Event()
        self._app = app
        self._unread = Unread(MOST_UNREAD)
        log = ThrottledLog(logger.warning, LOG_SECONDS)
        super().__init__(
            uvicorn.Config(
                cast(Any, self._answer),
                http=cast(Any, partial(SideConnection, unread=self._unread, log=log)),
                interface="asgi3",
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
            )
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._unread.is_too_much:
            await self._app(scope, receive, send)
            return
        waiting = f"{self._unread.most >> 20} MiB of answers wait until their clients read them"
        said = f"{waiting}: read those first, or close them"
        await JSONResponse({"error": said}, 503, {"retry-after": f"{READ_SECONDS:.0f}"})(scope, receive, send)

    def end(self) -> None:
        """Have `serve` return, once what is under way has been answered, or END_SECONDS are over."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        """Until the end."""
        while not await self.on_tick(0):  # writes the date
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, close what is idle, and wait for the rest."""
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(round(END_SECONDS / LOOK_SECONDS)):
            if not self._is_busy:
                break
            await asyncio.sleep(LOOK_SECONDS)
        for task in list(self.server_state.tasks):
            task.cancel()

    @property
    def _is_busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: the signals are handled for all servers of the process."""
        yield
