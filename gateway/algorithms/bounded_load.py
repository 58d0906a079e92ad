"""Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016): none gets more than c times its share.

What does not fit goes to the others in an order that is shuffled by the key, as in Envoy: the same for the same key,
and without the neighbour on the ring taking it all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

FACTOR: Final = 125  # c, per cent
_TOGETHER: Final = 2
"""Requests of one key that stay together though there is next to no other: as in Envoy, which counts without the one in
question."""

_MULTIPLIER: Final = 6364136223846793005  # of Knuth's MMIX
_MASK: Final = (1 << 64) - 1


def slots(active: int, weight: int, total_weight: int, factor: int = FACTOR) -> int:
    """How many requests an endpoint may have, when all have `active` together and one more comes."""
    total = ((active + 1) * factor + 99) // 100
    return max(1, -(-total * weight // total_weight))


def choose(first: int, key: int, active: Sequence[int], weights: Sequence[int], factor: int = FACTOR) -> int:
    """The endpoint for this key: the `first` where it has a slot, else another one that has, else the least loaded."""
    together, total_weight = sum(active), sum(weights)

    def overload(index: int) -> float:
        return (active[index] + 1) / max(_TOGETHER, slots(together, weights[index], total_weight, factor))

    least, best = overload(first), first
    if least <= 1:
        return first
    left, state = list(range(len(weights))), key
    for taken in range(len(left)):
        state = (state * _MULTIPLIER + 1442695040888963407) & _MASK
        other = taken + (state >> 33) % (len(left) - taken)
        left[taken], left[other] = left[other], left[taken]
        load = overload(left[taken])
        if load <= 1:
            return left[taken]
        if load < least:
            least, best = load, left[taken]
    return best
