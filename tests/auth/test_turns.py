"""Turns: who waits for what one address causes, and who does not."""

import asyncio
from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.turns import BusyError, Turns, owner_of

from .support import request


class Worker:
    """Does pieces of work, one after the other as it is said, and notes whose they are."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.begun: list[Hashable] = []
        self.working = 0
        self._finish = asyncio.Semaphore(0)

    async def work(self, owner: Hashable, weight: int = 1) -> bool:
        """Whether the owner got a turn."""
        try:
            async with self.turns.turn(owner, weight):
                self.begun.append(owner)
                self.working += weight
                await self._finish.acquire()
                self.working -= weight
                return True
        except BusyError:
            return False

    def begin(self, owners: str) -> list[asyncio.Task[bool]]:
        """One piece for each letter."""
        return [asyncio.create_task(self.work(owner)) for owner in owners]

    async def finish(self, pieces: int) -> None:
        """So many end, and others begin in their place."""
        for number in range(pieces + 1):
            if number:
                self._finish.release()
            for _ in range(4):
                await asyncio.sleep(0)


async def test_owners_take_turns() -> None:
    """Who comes last with a single piece does not wait for all pieces of who came first."""
    worker = Worker(Turns(1, 1, 100, 100))
    tasks = worker.begin("aaaaabbc")
    await worker.finish(8)
    await asyncio.gather(*tasks)
    assert "".join(map(str, worker.begun)) == "aabcabaa"


async def test_who_has_nothing_under_way_is_next() -> None:
    """Of two that wait, the one with less work in progress begins, whichever came first."""
    worker = Worker(Turns(2, 2, 100, 100))
    tasks = worker.begin("aaaa")
    await worker.finish(0)
    tasks += worker.begin("b")
    await worker.finish(1)
    assert worker.begun == ["a", "a", "b"]
    await worker.finish(4)
    await asyncio.gather(*tasks)


async def test_one_owner_leaves_room_for_others() -> None:
    """Of what is done at a time, one owner has no more than its part."""
    worker = Worker(Turns(4, 3, 100, 100))
    tasks = worker.begin("aaaaaab")
    await worker.finish(0)
    assert worker.begun == ["a", "a", "a", "b"]
    await worker.finish(7)
    assert all(await asyncio.gather(*tasks))


async def test_what_waits_is_bounded() -> None:
    """For each owner, and for all; then the longest queue makes room for a shorter one."""
    worker = Worker(Turns(1, 1, 3, 5))
    flood = worker.begin("aaaaabbbbb")
    await worker.finish(0)
    assert [task.done() for task in flood] == [False] * 4 + [True] + [False] * 2 + [True] * 3
    late = worker.begin("c")
    await worker.finish(0)
    assert flood[3].done()
    await worker.finish(20)
    assert [task.result() for task in flood] == [True] * 3 + [False] * 2 + [True] * 2 + [False] * 3
    assert await late[0]


async def test_who_gives_up_takes_no_turn() -> None:
    """While it waits, and in the moment in which it gets its turn."""
    worker = Worker(Turns(1, 1, 3, 3))
    first, second, third, fourth = worker.begin("abcd")
    await worker.finish(0)
    second.cancel()
    await worker.finish(1)
    third.cancel()
    await worker.finish(1)
    assert await fourth
    assert worker.begun == ["a", "c", "d"]
    assert (first.result(), second.cancelled(), third.cancelled()) == (True, True, True)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=30))
def test_no_more_than_the_capacity_is_worked_on(pieces: list[tuple[str, int]]) -> None:
    """A piece that is larger than all is worked on alone; in the end everything was."""

    async def run() -> None:
        worker = Worker(Turns(6, 100, 100, 100))
        tasks = [asyncio.create_task(worker.work(owner, weight)) for owner, weight in pieces]
        for _ in pieces:
            await worker.finish(1)
            assert worker.working <= 9
            assert worker.working <= 6 or worker.turns._working.total() == 1
        assert all(await asyncio.gather(*tasks))
        assert worker.turns._used == 0
        assert not worker.turns._working

    asyncio.run(run())


@pytest.mark.parametrize(
    ("client", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_a_network_of_one_customer_is_one_owner(client: str, other: str, same: bool) -> None:
    """An IPv4 address, or a /64."""
    one, two = request(), request()
    one.client, two.client = client, other
    assert (owner_of(one) == owner_of(two)) is same
