"""Which of many networks an address is in.

One set of numbers for each length of a prefix: an address is looked up once for every length that is in use, however
many networks there are. Ten thousand single addresses cost one look-up. What was found is remembered for the addresses
that were asked for last.

An IPv4 address within IPv6 (`::ffff:192.0.2.1`) is that IPv4 address, and a network of such is an IPv4 network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final, Generic, TypeVar

from gateway.http.addresses import ipv4_number, unmapped_address

Network = IPv4Network | IPv6Network

T = TypeVar("T")

REMEMBERED: Final = 4096  # addresses
REMEMBERED_LENGTH: Final = 64  # characters: a text that is no address, or has a long zone, is looked up each time
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


class NetworkMap(Generic[T]):
    """A value for each of many networks."""

    __slots__ = ("_by_prefix", "_networks", "_remembered")

    def __init__(self, entries: Iterable[tuple[Network, T]] = ()) -> None:
        self._networks: dict[Network, T] = {}
        # (version, bits that are not of the prefix) -> prefix -> value; the longest prefixes first.
        self._by_prefix: dict[tuple[int, int], dict[int, T]] = {}
        self._remembered: dict[str, tuple[T, ...]] = {}
        for network, value in entries:
            self.add(network, value)

    def add(self, network: Network, value: T) -> None:
        """Put a network in, or give the one that is there another value."""
        network = unmapped(network)
        length, prefix = _place(network)
        if length not in self._by_prefix:
            self._by_prefix[length] = {}
            self._by_prefix = dict(sorted(self._by_prefix.items()))
        self._by_prefix[length][prefix] = value
        self._networks[network] = value
        self._remembered.clear()

    def remove(self, network: Network) -> None:
        """Take a network out, if it is there."""
        network = unmapped(network)
        if network in self._networks:
            del self._networks[network]
            length, prefix = _place(network)
            del self._by_prefix[length][prefix]
            if not self._by_prefix[length]:
                del self._by_prefix[length]
            self._remembered.clear()

    def covering(self, address: str) -> tuple[T, ...]:
        """The values of all networks that the address is in, the smallest network's first.

        There are none for a text that is no address.
        """
        found = self._remembered.get(address)
        if found is None:
            found = tuple(self._look_up(address))
            if len(address) <= REMEMBERED_LENGTH:
                if len(self._remembered) >= REMEMBERED:
                    self._remembered.clear()
                self._remembered[address] = found
        return found

    def _look_up(self, text: str) -> Iterator[T]:
        number, version = ipv4_number(text), 4
        if number is None:
            try:
                address = unmapped_address(text)
            except ValueError:
                return
            number, version = int(address), address.version
        for (of_version, bits), prefixes in self._by_prefix.items():
            if of_version == version and (prefix := number >> bits) in prefixes:
                yield prefixes[prefix]

    def __len__(self) -> int:
        return len(self._networks)

    def __repr__(self) -> str:
        return f"<{len(self)} networks>"

    def __iter__(self) -> Iterator[tuple[Network, T]]:
        return iter(list(self._networks.items()))


def unmapped(network: Network) -> Network:
    """A network, in IPv4 where it is one of IPv4 addresses within IPv6."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


def _place(network: Network) -> tuple[tuple[int, int], int]:
    """Which dictionary a network belongs into, and under which key."""
    bits = network.max_prefixlen - network.prefixlen
    return (network.version, bits), int(network.network_address) >> bits


def client_network(text: str) -> Network | None:
    """The key of one client: its IPv4 address, or the /64 network of its IPv6 address. None: not an address."""
    try:
        address = unmapped_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return IPv4Network(address)
    return IPv6Network((int(address) >> 64 << 64, 64))
