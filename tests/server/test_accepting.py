"""Many connections at once, on the loop that the gateway runs on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import cast

import uvloop

from gateway.server.accepting import Acceptor

CLIENTS = 300


class Greeting(asyncio.Protocol):
    """Greets, and says that it has been accepted."""

    def __init__(self, acceptors: list[Acceptor], accepted: list[Greeting]) -> None:
        self._acceptors = acceptors
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._accepted.append(self)
        self._acceptors[0].look()
        stream = cast(asyncio.Transport, transport)
        stream.write(b"hello")
        stream.close()


def test_a_crowd_is_let_in_at_once() -> None:
    """A client that connects behind hundreds of others does not wait for one turn of the loop for each of them."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=CLIENTS))
        clients = [opened.enter_context(socket.create_connection(listener.getsockname())) for _ in range(CLIENTS)]
        accepted: list[Greeting] = []
        acceptors: list[Acceptor] = []

        async def serve() -> int:
            loop = asyncio.get_running_loop()

            def make() -> Greeting:
                return Greeting(acceptors, accepted)

            acceptors.append(Acceptor(loop, [listener], make, None))
            server = await loop.create_server(make, sock=listener)
            turns = 0
            async with asyncio.timeout(20):
                while len(accepted) < CLIENTS:
                    await asyncio.sleep(0)
                    turns += 1
            acceptors[0].close()
            server.close()
            return turns

        assert uvloop.run(serve()) < CLIENTS / 10
        assert all(client.recv(5) == b"hello" for client in clients)
