"""A client that makes much work does not keep the loop from others."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from gateway.server.http1.phase import HALF_CLOSED_SECONDS
from gateway.turns import (
    BEGUN_AT_ONCE,
    BUDGET,
    CROWD,
    CRUMBS,
    GONE_AT_ONCE,
    IN_VAIN,
    LATE_AT_ONCE,
    LATE_PER_SECOND,
    LONGEST_IN_VAIN,
    LOOKED_AT,
    WINDOW,
    Beginnings,
    Turns,
)
from tests.server.client import connected, statuses
from tests.server.conftest import Site


class Busy:
    """A client with work for many turns."""

    def __init__(self, turns: Turns, shares: int, place: str) -> None:
        self._turns = turns
        self.shares = shares
        self.place: bytes | str = place
        self.done = asyncio.Event()

    def go_on(self) -> None:
        ends = time.perf_counter() + BUDGET / 2
        while time.perf_counter() < ends:
            pass
        self.shares -= 1
        if self.shares:
            self._turns.join(self.place, self)
        else:
            self.done.set()


async def test_the_loop_is_shared() -> None:
    """While a crowd has work for a hundred shares, everybody else has a turn after every few of them."""
    turns = Turns()
    crowd = [Busy(turns, 10, "192.0.2.1") for _ in range(10)]
    for each in crowd:
        turns.join(each.place, each)
    others = 0
    while any(each.shares for each in crowd):
        await asyncio.sleep(0)
        others += 1
    assert others >= 100 / 3


async def test_clients_take_turns() -> None:
    """A client with one connection has its share after one share of a client that has many."""
    turns = Turns()
    crowd = [Busy(turns, 10, "192.0.2.1") for _ in range(10)]
    other = Busy(turns, 2, "192.0.2.2")
    for each in (*crowd, other):
        turns.join(each.place, each)
    async with asyncio.timeout(30):
        await other.done.wait()
    assert sum(each.shares for each in crowd) >= 100 - 8


class New:
    """A connection whose first request has come."""

    def __init__(self) -> None:
        self.begun = False

    def go_on(self) -> bool:
        self.begun = True
        return True


async def test_the_first_requests_of_a_crowd() -> None:
    """They are read a few at a time, and that of another client, which comes last, right at the begin."""
    beginnings = Beginnings()
    crowd = [New() for _ in range(10 * BEGUN_AT_ONCE)]
    other = New()
    for each in crowd:
        beginnings.join("192.0.2.1", each)
    beginnings.join("192.0.2.2", other)
    await asyncio.sleep(0)
    assert other.begun
    assert sum(each.begun for each in crowd) == BEGUN_AT_ONCE - 1
    for _ in range(len(crowd) // BEGUN_AT_ONCE + 1):
        await asyncio.sleep(0)
    assert all(each.begun for each in crowd)


async def test_small_first_requests_behind_large_ones() -> None:
    """A small request is read right at the begin, beside large ones of the same client that came before it."""
    beginnings = Beginnings()
    crowd = [New() for _ in range(10)]
    other = New()
    for each in crowd:
        beginnings.join("192.0.2.1", each, large=True)
    beginnings.join("192.0.2.1", other)
    await asyncio.sleep(0)
    assert other.begun
    assert sum(each.begun for each in crowd) == BEGUN_AT_ONCE - 1
    for _ in crowd:
        await asyncio.sleep(0)
    assert all(each.begun for each in crowd)


async def test_large_first_requests_behind_small_ones() -> None:
    """A large request is read at the begin, whatever small ones there are."""
    beginnings = Beginnings()
    crowd = [New() for _ in range(10)]
    other = New()
    for each in crowd:
        beginnings.join("192.0.2.1", each)
    beginnings.join("192.0.2.1", other, large=True)
    await asyncio.sleep(0)
    assert other.begun


class AtOnce(New):
    """A connection whose requests are answered at once, and that brings the next one then."""

    def __init__(self, beginnings: Beginnings) -> None:
        super().__init__()
        self._beginnings = beginnings

    def go_on(self) -> bool:
        self._beginnings.join("192.0.2.1", self)
        return False


async def test_a_large_first_request_beside_many_that_make_no_work() -> None:
    """It is read right at the begin, though those are never done."""
    beginnings = Beginnings()
    for _ in range(10 * LOOKED_AT):
        beginnings.join("192.0.2.1", AtOnce(beginnings))
    other = New()
    beginnings.join("192.0.2.2", other, large=True)
    await asyncio.sleep(0)
    assert other.begun


async def test_what_goes_last() -> None:
    """It waits for others of the same client that came after it, and has its turn in the end."""
    beginnings = Beginnings()
    crowd = [New() for _ in range(20)]
    others = [New() for _ in range(BEGUN_AT_ONCE)]
    for each in crowd:
        beginnings.join("192.0.2.1", each, last=True)
    for each in others:
        beginnings.join("192.0.2.1", each)
    await asyncio.sleep(0)
    assert all(each.begun for each in others)
    assert not all(each.begun for each in crowd)
    for _ in crowd:
        await asyncio.sleep(0)
    assert all(each.begun for each in crowd)


async def test_what_goes_last_after_a_long_turn() -> None:
    """Not much of it goes before others that still wait, however long the turn was."""
    beginnings = Beginnings()
    crowd = [New() for _ in range(20)]
    others = [New() for _ in range(BEGUN_AT_ONCE + 1)]
    for each in crowd:
        beginnings.join("192.0.2.1", each, last=True)
    for each in others:
        beginnings.join("192.0.2.1", each)
    time.sleep(len(crowd) / LATE_PER_SECOND)  # noqa: ASYNC251  what others do in this turn
    await asyncio.sleep(0)
    assert not others[-1].begun
    assert sum(each.begun for each in crowd) <= LATE_AT_ONCE


class Awaited:
    """A connection whose turn is awaited."""

    def __init__(self) -> None:
        self.turn = asyncio.Event()

    def go_on(self) -> bool:
        self.turn.set()
        return True


async def test_what_goes_last_and_is_given_up() -> None:
    """What comes behind it waits the longer, the more of it was begun in vain, and has its turn; others do not wait."""
    beginnings, last, other, crowd = Beginnings(), Awaited(), New(), [New() for _ in range(3)]
    for _ in range(int(10 * LONGEST_IN_VAIN / IN_VAIN)):
        beginnings.gave_up()
    began = time.perf_counter()
    beginnings.join("192.0.2.1", last, last=True)
    await asyncio.sleep(0)
    beginnings.join("192.0.2.1", other)
    await asyncio.sleep(0)
    assert other.begun
    async with asyncio.timeout(30):
        await last.turn.wait()
    assert time.perf_counter() - began > 0.9 * LONGEST_IN_VAIN
    for each in crowd:  # that was all
        beginnings.join("192.0.2.1", each, last=True)
    for _ in crowd:
        await asyncio.sleep(0)
    assert all(each.begun for each in crowd)


class Noted(New):
    """A connection whose turn is noted."""

    def __init__(self, begun: list[Noted]) -> None:
        super().__init__()
        self._all = begun

    def go_on(self) -> bool:
        self._all.append(self)
        return super().go_on()


async def test_what_goes_behind() -> None:
    """It waits for others that came after it, not for what goes last, and few of it have a turn at once."""
    started = time.perf_counter()
    beginnings = Beginnings()
    begun: list[Noted] = []
    last, *crowd = [Noted(begun) for _ in range(20)]
    others = [Noted(begun) for _ in range(BEGUN_AT_ONCE)]
    beginnings.join("192.0.2.1", last, last=True)
    for each in crowd:
        beginnings.join("192.0.2.1", each, behind=True)
    for each in others:
        beginnings.join("192.0.2.1", each)
    await asyncio.sleep(0)
    most = max(1, (time.perf_counter() - started) * LATE_PER_SECOND)
    assert begun[: len(others)] == others
    assert begun[len(others)] is crowd[0]
    assert sum(each.begun for each in crowd) <= most
    for _ in crowd:
        await asyncio.sleep(0)
    assert last.begun
    assert [each for each in begun if each in crowd] == crowd


class Left(New):
    """A connection whose client has left, which makes no work."""

    def go_on(self) -> bool:
        return False


class Gone:
    """A connection that has ended."""

    def go_on(self) -> None:
        return None


async def test_requests_of_clients_that_have_left() -> None:
    """They do not take the turn of others."""
    beginnings, other = Beginnings(), New()
    for _ in range(LOOKED_AT - 1):
        beginnings.join("192.0.2.1", Left())
    beginnings.join("192.0.2.1", other)
    await asyncio.sleep(0)
    assert other.begun


@pytest.mark.parametrize(("large", "last"), [(False, False), (True, False), (False, True)])
async def test_requests_on_connections_that_have_ended(large: bool, last: bool) -> None:
    """However many have come and gone, they do not take the turn of others, so that they do not pile up."""
    beginnings, other = Beginnings(), New()
    for _ in range(GONE_AT_ONCE - 1):
        beginnings.join("192.0.2.1", Gone(), large=large, last=last)
    beginnings.join("192.0.2.1", other, large=large, last=last)
    await asyncio.sleep(0)
    assert other.begun


class Broken(New):
    """One whose request cannot be begun, for whatever reason."""

    def go_on(self) -> bool:
        raise RuntimeError("broken")


async def test_a_request_that_cannot_be_begun() -> None:
    """Those that wait behind it have their turn."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    beginnings, behind = Beginnings(), New()
    beginnings.join("192.0.2.1", Broken())
    beginnings.join("192.0.2.1", behind)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert behind.begun


def test_who_is_a_crowd() -> None:
    """A client with very many connections is one while another has few; not where all have many, or it is alone."""
    beginnings = Beginnings()
    for _ in range(CROWD + 1):
        beginnings.came("192.0.2.1")
    assert not beginnings.is_crowd("192.0.2.1")
    beginnings.came("192.0.2.2")
    assert beginnings.is_crowd("192.0.2.1")
    assert not beginnings.is_crowd("192.0.2.2")
    for _ in range(CROWD):
        beginnings.came("192.0.2.2")
    assert not beginnings.is_crowd("192.0.2.1")
    beginnings.left("192.0.2.2")
    assert beginnings.is_crowd("192.0.2.1")
    beginnings.left("192.0.2.1")
    assert not beginnings.is_crowd("192.0.2.1")


async def test_all_requests_of_a_crowd(site: Site) -> None:
    """They are answered beside another client, again and again on the same connections, and so is a large body."""
    request = b"POST /e/many HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(connected(site.port, address="127.0.0.2"))
        crowd = [await stack.enter_async_context(connected(site.port)) for _ in range(CROWD + 20)]
        for size in (0, 40_000, 10):
            for client in crowd:
                client.writer.write(request % size + b"x" * size)
            for client in crowd:
                answer = await client.answer()
                assert (answer.status, len(answer.body)) == (200, len("POST /e/many ") + size)


@pytest.mark.parametrize(("end", "answers"), [(b"", []), (b"G@T / HTTP/1.1\r\n\r\n", [400])])
async def test_many_pipelines(site: Site, end: bytes, answers: list[int]) -> None:
    """Each has its answers in its order, whatever they wait for, also where its client has closed its side already."""
    for _ in range(5):
        began = time.perf_counter()
        try:
            await ask_in_pipelines(site, end, answers)
        except asyncio.IncompleteReadError:  # who has closed its side is not waited for longer than this
            assert time.perf_counter() - began > HALF_CLOSED_SECONDS
        else:
            return
    pytest.fail("the backend, in this process, took too long each time")


async def ask_in_pipelines(site: Site, end: bytes, answers: list[int]) -> None:
    """Twenty clients with twenty requests each."""
    request = b"POST /e/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    numbers = range(20)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(site.port)) for _ in numbers]
        for client in clients:
            client.writer.write(b"".join(request % number for number in numbers) + end)
            client.writer.write_eof()
        for client in clients:
            for number in numbers:
                assert (await client.answer()).body == b"POST /e/%d abc" % number
            assert statuses(await client.rest()) == answers


@pytest.mark.parametrize(("start", "answers"), [(b"", []), (b"\r\n", []), (b"GET / HTTP/1.1\r\nHo", [400])])
async def test_a_client_that_ends_with_its_first_bytes(site: Site, start: bytes, answers: list[int]) -> None:
    """What it has sent is read, though its end comes with it: none of a request is no mistake, a part of one is."""
    async with connected(site.port) as client:
        client.writer.write(start)
        client.writer.write_eof()
        assert statuses(await client.rest()) == answers


async def test_a_body_of_tiny_chunks(site: Site) -> None:
    """It arrives whole, however it is cut, and so does the request behind it."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (b"a", b"bc", b"d" * 17)) * 5000
    data = b"POST /e/tiny HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
    async with connected(site.port) as client:
        await client.send(data + b"GET /e/next HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, len(answer.body)) == (200, len("POST /e/tiny ") + 20 * 5000)
        assert (await client.answer()).body == b"GET /e/next "


async def test_an_unread_body_of_tiny_chunks(site: Site) -> None:
    """It is read over, and the connection goes on; a break in its middle ends it."""
    head = b"POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with connected(site.port) as client:
        await client.send(head + b"1\r\na\r\n" * 15_000 + b"0\r\n\r\nGET /e/next HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 404
        assert (await client.answer()).body == b"GET /e/next "
        await client.send(head + b"1\r\na\r\n" * 15_000 + b"zz\r\n")
        assert (await client.answer()).status == 404
        assert await client.rest() == b""


@pytest.mark.parametrize("body", [b"", b"x" * 200])
async def test_a_request_in_very_many_pieces(site: Site, body: bytes) -> None:
    """It is read, only not as fast as it comes."""
    head = b"POST /e/dribble HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with connected(site.port) as client:
        await client.send(head + body, piece=1)
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"POST /e/dribble " + body)


def test_crumbs_of_one_client() -> None:
    """A client that sends crumbs on many connections has some of them read in a while; another one's are read."""
    turns = Turns()
    too_many = [turns.is_crumb_too_many("192.0.2.1", 7.0) for _ in range(CRUMBS + 1)]
    assert too_many == [False] * CRUMBS + [True]
    assert not turns.is_crumb_too_many("192.0.2.2", 7.0)
    assert not turns.is_crumb_too_many("192.0.2.1", 7.0 + WINDOW)
