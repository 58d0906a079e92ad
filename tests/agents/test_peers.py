"""What waits for a peer."""

from __future__ import annotations

import asyncio

import pytest

from gateway.agents import peers
from gateway.agents.peers import MOST, Pace, Queue
from gateway.agents.rates import NODES_MOST, PER_SECOND, Rates


async def test_the_oldest_messages_make_room_and_are_counted() -> None:
    """1,000 wait; of more, the newest."""
    queue = Queue()
    for number in range(MOST + 3):
        queue.put("access-log", b"%d" % number)
    assert len(queue) == MOST
    assert queue.dropped == {"access-log": 3}
    assert (await queue.first()).payload == b"3"


async def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large messages make room sooner."""
    monkeypatch.setattr(peers, "MOST_BYTES", 1000)
    queue = Queue()
    for _ in range(5):
        queue.put("service-registry", b"x" * 400)
    assert (len(queue), queue.dropped.total()) == (2, 3)


async def test_what_is_no_news_any_more_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is said again every 30 s: after a minute without a way, the old ones are of no use."""
    queue = Queue()
    queue.put("service-registry", b"old")
    monkeypatch.setattr(peers, "LATE", 0.0)
    await asyncio.sleep(0.001)
    queue.put("service-registry", b"new")
    assert queue.dropped == {"service-registry": 1}
    assert (await queue.first()).payload == b"new"


async def test_a_message_that_was_dropped_meanwhile_is_done_once() -> None:
    """It made room while it was being sent."""
    queue = Queue()
    queue.put("a", b"0")
    first = await queue.first()
    for number in range(MOST):
        queue.put("a", b"%d" % number)
    assert not queue.done(first)
    assert len(queue) == MOST


async def test_messages_are_spaced_as_the_other_end_takes_them() -> None:
    """A few pass at once, what is more waits its turn."""
    took: list[float] = []
    for _ in range(3):  # the machine has other work
        pace = Pace(100)
        began = asyncio.get_running_loop().time()
        for _ in range(60):
            await pace.turn()
        took.append(asyncio.get_running_loop().time() - began)
    assert 0.4 < min(took) < 2


def test_a_node_may_send_fifty_in_a_second() -> None:
    """Another node is not held up by it, and what was refused is told at most once in a second."""
    rates = Rates()
    assert sum(rates.allows(1, 0.0) for _ in range(80)) == PER_SECOND
    assert rates.allows(2, 0.0)
    assert rates.to_report(1, 0.0) == 30
    assert not rates.allows(1, 0.001)
    assert rates.to_report(1, 0.001) == 0
    assert sum(rates.allows(1, 1.0) for _ in range(80)) == PER_SECOND


def test_nodes_beyond_a_thousand_are_forgotten() -> None:
    """Who calls under many ids takes no more memory."""
    rates = Rates()
    for node in range(NODES_MOST * 2):
        assert rates.allows(node, 0.0)
    assert rates.allows(0, 0.0)
