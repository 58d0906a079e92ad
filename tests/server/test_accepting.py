"""Many connections at once, on the loop that the gateway runs on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
import uvloop

from gateway.server.accepting import LET_IN, Acceptor
from gateway.server.listen import take_in, turn_away
from tests.support import eventually

CLIENTS = 300


class Greeting(asyncio.Protocol):
    """Notes who has been let in."""

    def __init__(self, let_in: list[str]) -> None:
        self._let_in = let_in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._let_in.append(transport.get_extra_info("peername")[0])


@contextlib.contextmanager
def crowd(*addresses: str) -> Iterator[socket.socket]:
    """A listening socket, and connections to it from these addresses, in this order."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=len(addresses)))
        for address in addresses:
            opened.enter_context(socket.create_connection(listener.getsockname(), 10, (address, 0)))
        yield listener


async def _let_in(listener: socket.socket, count: int) -> tuple[list[str], int]:
    """Who is let in, in this order, and the most of them in one turn of the loop."""
    let_in: list[str] = []
    most = 0
    acceptor = Acceptor(asyncio.get_running_loop(), [listener], lambda sock, address: Greeting(let_in))
    async with asyncio.timeout(20):
        while len(let_in) < count:
            before = len(let_in)
            await asyncio.sleep(0)
            most = max(most, len(let_in) - before)
    acceptor.close()
    return let_in, most


def test_a_crowd_is_let_in_a_few_at_a_time() -> None:
    """All are let in, and others have their turn after every few of them."""
    with crowd(*["127.0.0.1"] * CLIENTS) as listener:
        let_in, most = uvloop.run(_let_in(listener, CLIENTS))
        assert len(let_in) == CLIENTS
        assert most < CLIENTS / 4


def test_a_client_does_not_wait_for_the_crowd_of_another() -> None:
    """Who connects from another address behind hundreds of connections is let in with the first of them."""
    with crowd(*["127.0.0.1"] * 60, "127.0.0.2") as listener:
        let_in, _ = uvloop.run(_let_in(listener, 61))
        assert let_in.index("127.0.0.2") < 2 * LET_IN


def test_all_that_the_kernel_has_let_in_are_served_at_the_end() -> None:
    """However many wait when the listener is closed: they would be reset with it."""

    async def close_at_once(listener: socket.socket) -> None:
        let_in: list[str] = []
        acceptor = Acceptor(asyncio.get_running_loop(), [listener], lambda sock, address: Greeting(let_in))
        acceptor.close()
        await eventually(lambda: len(let_in) == CLIENTS)

    with crowd(*["127.0.0.1"] * CLIENTS) as listener:
        uvloop.run(close_at_once(listener))


def test_a_rejected_connection_is_logged_only_if_the_client_is_connected() -> None:
    """A connection that is made already stays; a new one is not answered, until it is refused, or let in after all."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as late:
        made = socket.create_connection(listener.getsockname(), 5)
        turn_away(listener)
        late.settimeout(0.1)
        with pytest.raises(TimeoutError):
            late.connect(listener.getsockname())
        with made, listener.accept()[0] as accepted:
            made.sendall(b"hello")
            assert accepted.recv(5) == b"hello"
        take_in(listener)
        socket.create_connection(listener.getsockname(), 5).close()
