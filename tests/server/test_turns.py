"""A client that makes much work does not keep the loop from others."""

from __future__ import annotations

import asyncio
import time

from gateway.turns import BUDGET, Turns
from tests.server.client import connected
from tests.server.conftest import Site


class Busy:
    """Somebody with work for many turns."""

    def __init__(self, turns: Turns, shares: int) -> None:
        self._turns = turns
        self.shares = shares

    def go_on(self) -> None:
        ends = time.perf_counter() + BUDGET / 2
        while time.perf_counter() < ends:
            pass
        self.shares -= 1
        if self.shares:
            self._turns.join(self)


async def test_the_loop_is_shared() -> None:
    """While a crowd has work for a hundred shares, everybody else has a turn after every few of them."""
    turns = Turns()
    crowd = [Busy(turns, 10) for _ in range(10)]
    for each in crowd:
        turns.join(each)
    others = 0
    while any(each.shares for each in crowd):
        await asyncio.sleep(0)
        others += 1
    assert others >= 100 / 3


async def test_a_body_of_tiny_chunks(site: Site) -> None:
    """It arrives whole, however it is cut, and so does the request behind it."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (b"a", b"bc", b"d" * 17)) * 5000
    data = b"POST /e/tiny HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
    async with connected(site.port) as client:
        await client.send(data + b"GET /e/next HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, len(answer.body)) == (200, len("POST /e/tiny ") + 20 * 5000)
        assert (await client.answer()).body == b"GET /e/next "


async def test_a_body_of_tiny_chunks_that_nobody_wants(site: Site) -> None:
    """It is read over, and the connection goes on; a break in its middle ends it."""
    head = b"POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with connected(site.port) as client:
        await client.send(head + b"1\r\na\r\n" * 15_000 + b"0\r\n\r\nGET /e/next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 404
        assert (await client.answer()).body == b"GET /e/next "
        await client.send(head + b"1\r\na\r\n" * 15_000 + b"zz\r\n")
        assert (await client.answer()).status == 404
        assert await client.rest() == b""


async def test_a_head_in_very_many_pieces(site: Site) -> None:
    """It is read, only not as fast as it comes."""
    async with connected(site.port) as client:
        await client.send(b"GET /e/dribble HTTP/1.1\r\nHost: a\r\n\r\n", piece=1)
        assert (await client.answer()).status == 200
