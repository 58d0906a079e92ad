"""One service, live: its endpoints, and which of them is next. It outlives a reload."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.http.messages import Exchange
from gateway.upstream.endpoint import Address, Endpoint, TlsSettings
from gateway.upstream.pool import PoolLimits
from gateway.upstream.transport import Connector


class Balancer(Protocol):
    """Chooses among the endpoints of one service, for all routes that lead to it. See `gateway/balancing/`."""

    def replace(self, weighted: Sequence[tuple[Endpoint, int]]) -> None:
        """Choose among these from now on, with their weights (above zero). What is known of those that stay is kept."""
        ...

    def pick(self, exchange: Exchange, now: float, excluded: Collection[Endpoint]) -> Endpoint | None:
        """The endpoint to try next, or None where none is left. `now` is time.perf_counter()."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """One endpoint of a service as its source (a file, a registry) describes it."""

    address: Address
    weight: int = 1  # share of the requests; 0: no new ones, while those that it has go on


class Upstream:
    """The endpoints of one service, its balancer, and which endpoints are down.

    The set of endpoints is replaced as a whole, by the source of the service, on the event loop. An endpoint is known
    by its address: while that is in the set, it keeps its counters, its connections and its health.
    """

    __slots__ = (
        "_connector",
        "_down",
        "_leaving",
        "_server_name",
        "_tls_context",
        "balancer",
        "endpoints",
        "limits",
        "members",
    )

    def __init__(
        self,
        connector: Connector,
        balancer: Balancer,
        members: Sequence[Member],
        limits: PoolLimits,
        tls: TlsSettings | None = None,
    ) -> None:
        """Raises OSError or ValueError where the certificates of `tls` cannot be used."""
        self.balancer = balancer
        self.limits = limits
        self.members: tuple[Member, ...] = ()
        self.endpoints: tuple[Endpoint, ...] = ()
        self._connector = connector
        self._tls_context = tls.context() if tls else None
        self._server_name = tls.server_name if tls else None
        self._down: set[Address] = set()
        self._leaving: list[Endpoint] = []  # not in the set any more, with requests in flight
        self.replace(members)

    def configure(self, limits: PoolLimits) -> None:
        """Take the limits of a new configuration."""
        self.limits = limits
        for endpoint in self.endpoints:
            endpoint.configure(limits)

    def replace(self, members: Sequence[Member]) -> None:
        """Make these the endpoints of the service. Where an address is listed twice, the weights add up.

        What goes takes no new requests, finishes those that it has, and keeps no connection.
        """
        known = {endpoint.address: endpoint for endpoint in (*self._leaving, *self.endpoints)}
        self.members = tuple(members)
        addresses = dict.fromkeys(member.address for member in members)
        self.endpoints = tuple(
            known.pop(address) if address in known else self._endpoint(address) for address in addresses
        )
        for endpoint in self.endpoints:
            endpoint.configure(self.limits)  # it may have been on its way out
        for endpoint in known.values():
            endpoint.retire()
        self._leaving = [endpoint for endpoint in known.values() if endpoint.in_flight]
        self._down &= addresses.keys()
        self._offer()

    def mark(self, address: Address, *, up: bool) -> None:
        """An endpoint was found to be up or down. While it is down, no new request goes there."""
        if up:
            self._down.discard(address)
        else:
            self._down.add(address)
        self._offer()

    def retire(self) -> None:
        """No route leads here any more: finish what is in flight, keep nothing."""
        for endpoint in self.endpoints:
            endpoint.retire()

    def _endpoint(self, address: Address) -> Endpoint:
        return Endpoint(address, self._connector, self.limits, self._tls_context, self._server_name)

    def _offer(self) -> None:
        """Tell the balancer what there is to choose from."""
        weights = dict.fromkeys((endpoint.address for endpoint in self.endpoints), 0)
        for member in self.members:
            weights[member.address] += member.weight
        usable = [
            (endpoint, weights[endpoint.address])
            for endpoint in self.endpoints
            if weights[endpoint.address] > 0 and endpoint.address not in self._down
        ]
        self.balancer.replace(usable)
