"""Messages of other nodes that wait to be checked."""

from __future__ import annotations

from collections import Counter

from gateway.agents.incoming import MOST, Arrived, UncheckedMessages
from gateway.agents.rates import PER_SECOND

PEER = 7


def _arrived(node: int) -> Arrived:
    return Arrived("service-registry", b"{}", node, 1)


async def test_a_peer_does_not_wait_behind_strangers() -> None:
    """A daemon may trust hundreds of nodes by itself, and each of them is looked up, one after the other."""
    refused: Counter[int] = Counter()
    unchecked = UncheckedMessages(lambda reason, topic, node, detail: refused.update([node]), lambda node: node == PEER)
    for node in range(100, 100 + 2 * MOST // PER_SECOND):
        for _ in range(PER_SECOND):
            unchecked.put(_arrived(node))
    unchecked.put(_arrived(PEER))
    assert (await unchecked.next()).node == PEER
    assert (await unchecked.next()).node == 100
    assert refused[PEER] == 0
    assert refused.total() >= MOST


async def test_what_waits_is_bounded_by_bytes_too() -> None:
    """Of a peer and of strangers."""
    refused: Counter[int] = Counter()
    unchecked = UncheckedMessages(lambda reason, topic, node, detail: refused.update([node]), lambda node: node == PEER)
    for node in (PEER, 8):
        for _ in range(PER_SECOND):
            unchecked.put(Arrived("service-registry", b"x" * 512 * 1024, node, 1))
    assert (refused[PEER], refused[8]) == (PER_SECOND - 32, PER_SECOND - 8)
