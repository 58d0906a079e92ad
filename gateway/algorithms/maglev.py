"""Maglev's table (NSDI 2016, 3.4): which endpoint serves a key, the same for all who know the same endpoints.

Each endpoint has an order of its own in which it would like the places of the table; they take their next free one in
turn. When one leaves, its places are shared out, and few others change hands.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from heapq import heapreplace
from typing import Final

from gateway.algorithms.stable_hash import stable_hash

SIZE: Final = 65_537  # prime, and more than a hundred times as many as the usual number of endpoints


_PAUSE: Final = 1024  # places that are looked at


def maglev(
    names: Sequence[bytes],
    weights: Sequence[int],
    size: int = SIZE,
    pause: Callable[[], object] = lambda: None,
) -> array[int]:
    """For each place the number of an endpoint, in proportion to the weights (above zero). `size` is prime.

    The order in which the names are given does not matter. It takes some tens of milliseconds, in which `pause` is
    called again and again, so that other threads have their turn.
    """
    order = sorted(range(len(names)), key=lambda index: names[index])
    places = [stable_hash(names[index], b"offset") % size for index in order]
    steps = [stable_hash(names[index], b"skip") % (size - 1) + 1 for index in order]
    shares = [weights[index] for index in order]
    heaviest = max(shares)
    taken = [0] * len(order)
    turns = [(1, which) for which in range(len(order))]  # a heap: whose turn is next, and in which round
    table, left, looks = [-1] * size, size, 0
    while left:
        turn, which = turns[0]
        taken[which] += 1
        # It sits out rounds until its share has grown as large as what it has. Going through all of them in each round
        # would take minutes where one of thousands outweighs the others.
        following = max(turn + 1, -(-taken[which] * heaviest // shares[which]))
        heapreplace(turns, (following, which))
        place, step = places[which], steps[which]
        while table[place] >= 0:
            place = (place + step) % size
            looks += 1
            if looks >= _PAUSE:  # the last free places are found after many that are not
                looks = 0
                pause()
        table[place] = order[which]
        places[which] = place
        left -= 1
        if not left % _PAUSE:
            pause()
    return array("B" if len(names) <= 1 << 8 else "H" if len(names) <= 1 << 16 else "I", table)
