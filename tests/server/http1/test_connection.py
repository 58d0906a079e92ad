"""Connections of one client, on the loop that the gateway runs on: whose request is answered first."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.app import Gateway
from gateway.config.models import ClientLimits
from gateway.deadlines import Deadlines
from gateway.live import Owner
from gateway.reload import Reloader
from gateway.server.accepting import Acceptor
from gateway.server.context import ServerContext
from gateway.server.http1.connection import Http1Connection
from gateway.turns import Beginnings
from gateway.upstream.transport import Connector, Resolver
from tests.support import eventually

FLOOD = 300  # connections
BEFORE = FLOOD // 3 * 2  # of its answers: on a busy machine, more of them are given in each turn of the loop
ORDINARY = b"GET /ordinary HTTP/1.1\r\nHost: a\r\n\r\n"
NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"


class Crowd:
    """Connections that are open. `paths` are those of the answers, in this order."""

    def __init__(self, clients: list[socket.socket]) -> None:
        self.paths: list[str] = []
        self.clients = clients
        self.beginnings: Beginnings

    async def answers(self) -> list[str]:
        """The paths of one answer for each connection, in this order."""
        await eventually(lambda: len(self.paths) == len(self.clients))
        paths, self.paths = self.paths, []
        return paths


@contextlib.asynccontextmanager
async def crowd(directory: Path, limits: ClientLimits | None = None) -> AsyncIterator[Crowd]:
    """FLOOD connections to a gateway in this process, and one more."""
    (directory / "routes.yaml").write_text("routes: [{path: /ordinary, respond: {status: 204}}]")
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop)
    reloader = Reloader(directory, {}, Owner(), Connector(deadlines, Resolver({})))
    await reloader.start()
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=FLOOD + 1))
        connect = partial(socket.create_connection, listener.getsockname(), 10)
        made = Crowd([opened.enter_context(connect()) for _ in range(FLOOD + 1)])
        gateway = Gateway(reloader, [lambda exchange, outcome: made.paths.append(exchange.path)])
        context = ServerContext(gateway, deadlines, lambda: limits or ClientLimits())
        made.beginnings = context.beginnings
        acceptor = Acceptor(loop, [listener], partial(Http1Connection, context))
        await eventually(lambda: len(context.connections) == FLOOD + 1)
        try:
            yield made
        finally:
            acceptor.close()
            await reloader.stop()


async def answered(directory: Path, flood: bytes, *, half_close: bool = False) -> list[str]:
    """The paths of what is answered: what a flood brings at once on new connections, and an ordinary request behind."""
    async with crowd(directory) as made:
        *many, one = made.clients
        for client in many:
            client.sendall(flood)
            if half_close:
                client.shutdown(socket.SHUT_WR)
        one.sendall(ORDINARY)
        return await made.answers()


def place_of_ordinary(directory: Path, flood: bytes, *, half_close: bool = False) -> int:
    """How many are answered before the ordinary request, at best: where a busy machine makes this process stand still,
    those that go last are owed all that time in one turn."""
    return best_place(partial(answered, directory, flood, half_close=half_close))


def best_place(answers: Callable[[], Coroutine[Any, Any, list[str]]]) -> int:
    """That of the ordinary request in the best of ten tries."""
    places: list[int] = []
    while len(places) < 10 and (not places or places[-1] >= BEFORE):
        places.append(uvloop.run(answers()).index("/ordinary"))
    return min(places)


@pytest.mark.parametrize(
    "flood",
    [
        b"GET /odd HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /odd HTTP/1.1\r\nHost: a\r\nBad : b\r\n\r\n",
        b"POST /odd HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_request_waits_for_what_is_one(tmp_path: Path, flood: bytes) -> None:
    """A request that came last, of the same address, is answered before much that is refused."""
    assert place_of_ordinary(tmp_path, flood) < BEFORE


def test_who_closed_its_side_waits_for_others(tmp_path: Path) -> None:
    """The same of requests whose clients will hardly wait for an answer, though they get one."""
    assert place_of_ordinary(tmp_path, b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n", half_close=True) < BEFORE


def test_who_was_refused_before_waits_for_others(tmp_path: Path) -> None:
    """On kept connections, those whose last request was refused go behind one whose was not; all are answered."""

    async def twice() -> list[str]:
        async with crowd(tmp_path) as made:
            for _ in range(2):
                for client in made.clients[:-1]:
                    client.sendall(NOWHERE)
                made.clients[-1].sendall(ORDINARY)
                paths = await made.answers()
            return paths

    assert best_place(twice) < BEFORE


CLOCK = 2.0  # seconds that a client has for its request


class Slow:
    """What takes two milliseconds to begin."""

    def go_on(self) -> bool:
        time.sleep(0.002)
        return True


@pytest.mark.parametrize("before", [[], [NOWHERE]], ids=["new", "kept"])
def test_who_waits_for_its_turn_longer_than_for_bytes(tmp_path: Path, before: list[bytes]) -> None:
    """A request that came in time is answered, though its turn comes when the clock of its connection has run out."""

    async def answers() -> list[str] | None:
        began = time.monotonic()
        async with crowd(tmp_path, ClientLimits(header_timeout=CLOCK, keep_alive=CLOCK)) as made:
            client = made.clients[-1]
            for request in before:
                client.sendall(request)
                await eventually(lambda: len(made.paths) == 1)
            for _ in range(1500):
                made.beginnings.join("127.0.0.1", Slow(), last=bool(before))
            client.sendall(ORDINARY)
            if time.monotonic() - began > 0.8 * CLOCK:
                return None  # on a busy machine, it has perhaps not come in time
            await eventually(lambda: len(made.paths) > len(before))
            return made.paths

    paths = next(paths for _ in range(20) if (paths := uvloop.run(answers())) is not None)
    assert paths[-1] == "/ordinary"


class Ending:
    """A client that closes its side as soon as its request is answered, in the same turn of the loop."""

    def __init__(self, made: Crowd) -> None:
        self._made = made

    def go_on(self) -> bool:
        if self._made.paths:
            self._made.clients[-1].shutdown(socket.SHUT_WR)
        else:
            self._made.beginnings.join("127.0.0.1", self)
        return False


def test_an_end_that_comes_before_the_answer_is_sent(tmp_path: Path) -> None:
    """The answer is sent all the same."""

    async def received() -> bytes:
        async with crowd(tmp_path) as made:
            client = made.clients[-1]
            made.beginnings.join("127.0.0.1", Ending(made))
            client.sendall(ORDINARY)
            await eventually(lambda: len(made.paths) == 1)
            return await asyncio.to_thread(client.recv, 1000)

    assert uvloop.run(received()).startswith(b"HTTP/1.1 204 ")
