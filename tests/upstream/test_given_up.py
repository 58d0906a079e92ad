"""Connections whose request was cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop

from gateway.deadlines import Deadlines
from gateway.upstream.http1.connection import Connection
from gateway.upstream.transport import Connector, Resolver

LAST_TURNS = 8  # of the loop, before a connection is made and its opener goes on
TRIES = 10  # for each: how many turns it takes varies


@asynccontextmanager
async def opening(connector: Connector, port: int) -> AsyncIterator[asyncio.Task[Connection]]:
    """A connection on its way; closed in the end, if it comes."""
    task = asyncio.create_task(connector.connect("b", b"b", "127.0.0.1", port, tls=None, server_name="b", seconds=10))
    yield task
    with contextlib.suppress(asyncio.CancelledError):
        (await task).close()


async def _give_up(port: int) -> int:
    """Give up at every moment up to that at which a connection is made. Returns how many connections are left."""
    before = _connections()
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    for earlier in range(LAST_TURNS * TRIES):
        turns = 0
        async with opening(connector, port) as task:
            while not task.done():
                await asyncio.sleep(0)
                turns += 1
        async with opening(connector, port) as task:
            for _ in range(turns - earlier % LAST_TURNS):
                await asyncio.sleep(0)
            task.cancel()
    left = len(_connections() - before)
    for _ in range(100):  # the loop closes the last of them
        if not left:
            break
        await asyncio.sleep(0.1)
        left = len(_connections() - before)
    return left


def _connections() -> set[int]:
    """Those of this process, by identity; other tests may have some as well."""
    gc.collect()
    return {id(each) for each in gc.get_objects() if isinstance(each, Connection)}


def test_a_connection_that_is_given_up_is_freed() -> None:
    """A client that goes away while a backend is connected to costs nothing for ever, at whatever moment it goes."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        assert uvloop.run(_give_up(listener.getsockname()[1])) == 0
