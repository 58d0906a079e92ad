"""EndpointSlices of Kubernetes (discovery.k8s.io, v1 and v1beta1) as instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.upstream.member import Address, Member

ZONE_LABEL: Final = "topology.kubernetes.io/zone"

Key = tuple[str, int]
"""Host and port."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The instances of one EndpointSlice for one port."""

    revision: int
    ports: tuple[str, ...]  # all that it has, in words
    fits: bool  # it has the port in question
    ready: Mapping[Key, Member]
    hinted: Mapping[Key, Member]  # the same, each in the zone that it is meant to serve; empty where not all say one
    leaving: Mapping[Key, Member]  # terminating, while still serving


def parse_slice(slice_: Mapping[str, Any], port: int | str | None) -> Slice:
    """`port`: its number or name; None: the only one. Raises KeyError, TypeError or ValueError for another shape."""
    ports = [each for each in slice_.get("ports") or () if each.get("protocol", "TCP") == "TCP"]
    endpoints = slice_.get("endpoints") or ()
    if isinstance(port, int):
        number = port if any(each.get("port") in (None, port) for each in ports) else None
    else:
        numbers = [each.get("port") for each in ports if port is None or each.get("name") == port]
        number = numbers[0] if len(numbers) == 1 else None
    ready: dict[Key, Member] = {}
    hinted: dict[Key, Member] = {}
    leaving: dict[Key, Member] = {}
    for endpoint in endpoints:
        if number is None:
            break
        # Nothing is defined for the addresses behind the first one.
        host, conditions = endpoint["addresses"][0], endpoint.get("conditions") or {}
        key = host, number
        zone = endpoint.get("zone") or (endpoint.get("topology") or {}).get(ZONE_LABEL) or ""
        member = Member(Address(host, number), zone=zone)
        if conditions.get("ready") in (None, True):
            ready[key] = member
            served = (endpoint.get("hints") or {}).get("forZones")
            if served:
                hinted[key] = member if served[0]["name"] == zone else replace(member, zone=served[0]["name"])
        elif conditions.get("serving") and conditions.get("terminating"):
            leaving[key] = member
    return Slice(
        revision=int(slice_["metadata"]["resourceVersion"]),
        ports=tuple(f"{each.get('name') or 'unnamed'} ({each.get('port')})" for each in ports),
        fits=number is not None or not endpoints,
        ready=ready,
        hinted=hinted if len(hinted) == len(ready) else {},
        leaving=leaving,
    )


def instances_of(slices: Iterable[Slice]) -> Sequence[Member]:
    """All instances, each once, though two slices may have it for a moment.

    Those that are ready; where there is none, those that are terminating and still serve. Zones are those of hints
    where every one has a hint: one without makes the others worth nothing.
    """
    slices = list(slices)
    by_hint = all(each.hinted or not each.ready for each in slices)
    ready: dict[Key, Member] = {}
    for each in slices:
        ready.update(each.hinted if by_hint else each.ready)
    if ready:
        return list(ready.values())
    leaving: dict[Key, Member] = {}
    for each in slices:
        leaving.update(each.leaving)
    return list(leaving.values())
