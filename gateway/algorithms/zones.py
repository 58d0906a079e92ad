"""How much of the traffic stays in its own zone, as Envoy decides it: as much as that zone's endpoints can take.

Where every gateway does so, each zone's endpoints get their share of all traffic, and as much as possible stays local.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FEWEST: Final = 6  # endpoints, below which zones are not looked at


def shares(own: str, gateways: Mapping[str, float], capacity: Mapping[str, float]) -> dict[str, float]:
    """The share of this gateway's traffic for each zone with endpoints; together 1.

    `gateways` is how many gateways each zone has, or any other measure of its traffic; `capacity` that of its healthy
    endpoints, of which there are some.
    """
    arriving, serving = sum(gateways.values()), sum(capacity.values())
    wanted = {zone: gateways.get(zone, 0) / arriving if arriving else 0.0 for zone in (*capacity, own)}
    offered = {zone: amount / serving for zone, amount in capacity.items()}
    local = min(1.0, offered[own] / wanted[own] if wanted[own] else 1.0) if own in offered else 0.0
    others = [zone for zone in capacity if zone != own]
    spare = {zone: max(0.0, offered[zone] - wanted[zone]) for zone in others}
    if not sum(spare.values()):  # no other has room: in proportion to what they have
        spare = {zone: offered[zone] for zone in others}
    room = sum(spare.values())
    result = {zone: (1 - local) * share / room for zone, share in spare.items()} if local < 1 else {}
    if local:
        result[own] = local
    return result
