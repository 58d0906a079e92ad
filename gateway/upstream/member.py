"""One endpoint of a service as a source describes it: a file, a registry, a name server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Address:
    """The address of an endpoint, which identifies it in its service."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def authority(self, *, tls: bool) -> bytes:
        """The Host that this endpoint is asked for: without the default port, and without the zone of an IPv6 address,
        which means something on this machine only (RFC 6874, 4)."""
        host = str(Address(self.name, self.port))
        return (host.rpartition(":")[0] if self.port == (443 if tls else 80) else host).encode()

    @property
    def name(self) -> str:
        """The host, without the zone of an IPv6 address."""
        return self.host.partition("%")[0] if ":" in self.host else self.host


@dataclass(frozen=True, slots=True)
class Member:
    """One endpoint of a service as its source describes it."""

    address: Address
    weight: int = 1  # share of the requests; 0: no new ones, while those that it has go on
    zone: str = ""  # where it is; empty: not known
    priority: int = 0  # requests go to the lowest number while enough of those are up
    up: bool = True  # what the source says of its health
    reason: str = ""  # why, in the words of the source
    late: bool = False  # it has not sent the heartbeat that is expected of it


def add_members(merged: dict[Address, Member], members: Iterable[Member]) -> None:
    """Put members in by their addresses; the weights of one that is listed twice are added up."""
    for member in members:
        before = merged.get(member.address)
        merged[member.address] = member if before is None else replace(before, weight=before.weight + member.weight)
