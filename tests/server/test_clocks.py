"""Clients that are slow, on purpose or not."""

import asyncio
import contextlib
import time

import pytest

from tests.server.client import Client, connected, statuses
from tests.server.conftest import BEFORE_LONG, STALL, Site
from tests.support import eventually, lateness

TRIES = 5  # of a client that is steady only where the machine lets it
BIG = 16 * 2**20
GET_BIG = b"GET /e/big/%d HTTP/1.1\r\nHost: a\r\n\r\n" % BIG
GET_MANY = b"GET /e/big/20000 HTTP/1.1\r\nHost: a\r\n\r\n" * 1000


async def drip(client: Client, data: bytes) -> None:
    """Send a byte every 100 ms, until the other side has had enough."""
    for byte in data:
        await client.send(bytes([byte]))
        await asyncio.sleep(0.1)


async def test_a_silent_connection_is_closed(hasty: Site) -> None:
    """Who connects and says nothing is closed without a word."""
    async with connected(hasty.port) as client:
        assert await client.rest(BEFORE_LONG) == b""


async def test_an_idle_connection_is_closed(hasty: Site) -> None:
    """A connection that is kept alive and not used is closed without a word."""
    async with connected(hasty.port) as client:
        await client.send(b"GET /e/idle HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 200
        assert await client.rest(BEFORE_LONG) == b""


@pytest.mark.parametrize("data", [b"G", b"GET /e/x HTTP/1.1\r\n", b"GET /e/x HTTP/1.1\r\nHost: a\r\nA:"])
async def test_half_a_head_is_a_408(hasty: Site, data: bytes) -> None:
    """A head that is not finished in time is a 408."""
    async with connected(hasty.port) as client:
        await client.send(data)
        assert statuses(await client.rest(BEFORE_LONG)) == [408]


async def test_dripping_headers_is_a_408(hasty: Site) -> None:
    """Sending a byte now and then does not buy more time for a head."""
    async with connected(hasty.port) as client:
        dripping = asyncio.create_task(drip(client, b"GET /e/x HTTP/1.1\r\n" + b"A: b\r\n" * 50))
        answer = await client.answer(seconds=BEFORE_LONG)
        dripping.cancel()
    assert answer.problem == "request-timeout"


async def test_a_stalled_body_is_a_408(hasty: Site) -> None:
    """A client that does not send the body it announced gets a 408, and the backend's connection is closed."""
    async with connected(hasty.port) as client:
        await client.send(b"POST /e/stalled HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        answer = await client.answer(seconds=BEFORE_LONG)
    assert answer.problem == "request-timeout"
    assert not hasty.backend.paths("/e/stalled")


async def test_a_slow_body_is_no_stall(hasty: Site) -> None:
    """A body that comes slowly but steadily is taken."""
    for _ in range(TRIES):
        body = b"a connection that was cut"
        async with lateness() as late, connected(hasty.port) as client:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await client.send(b"POST /e/steady HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n")
                await drip(client, b"0123456789" * 4)
                body = (await client.answer()).body
        if body.startswith(b"POST") or late.seconds < STALL / 2:  # else it was this client that stood still
            break
    assert body == b"POST /e/steady " + b"0123456789" * 4


async def test_an_unwanted_body_that_never_comes(hasty: Site) -> None:
    """A client that is refused and then keeps the announced body back is not waited for longer than a few seconds."""
    async with connected(hasty.port) as client:
        await client.send(b"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        assert (await client.answer()).status == 404
        assert await client.rest(9) == b""


@pytest.mark.parametrize("data", [GET_BIG, GET_MANY], ids=["one", "many"])
async def test_who_does_not_read_is_cut_off(hasty: Site, data: bytes) -> None:
    """A client that stops reading is cut off, be it in one large response or in a pipeline of small ones."""
    async with connected(hasty.port, receive_buffer=4096) as client:
        await client.send(data)
        await client.reader.readexactly(1)
        client.stop_reading()
        await eventually(lambda: not established(hasty, client), BEFORE_LONG)


async def test_who_reads_slowly_is_not_cut_off(hasty: Site) -> None:
    """A client that reads a little all the time keeps its connection, for however many times the stall limit."""
    for _ in range(TRIES):
        async with lateness() as late, connected(hasty.port, receive_buffer=4096) as client:
            await client.send(GET_BIG)
            end, kept = time.monotonic() + STALL + 1, False
            with contextlib.suppress(ConnectionError):
                while time.monotonic() < end:
                    if not await client.reader.read(1024):
                        break
                    await asyncio.sleep(0.01)
                kept = time.monotonic() >= end and established(hasty, client)
        if kept or late.seconds < STALL / 2:  # else it was this client that stood still
            break
    assert kept


def established(site: Site, client: Client) -> bool:
    """Whether the gateway still has the other end of this connection."""
    mine = f"0100007F:{client.socket.getsockname()[1]:04X}"
    with open("/proc/net/tcp") as table:
        return any(line.split()[1:4] == [f"0100007F:{site.port:04X}", mine, "01"] for line in table)
