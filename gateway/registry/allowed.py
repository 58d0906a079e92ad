"""Where the instances of a service may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.algorithms.networks import Network, NetworkMap
from gateway.upstream.member import Address

SHOWN: Final = 5  # networks, in a message
PUBLISHED: Final = "registry-networks"
"""The hash in Redis in which gateways say, for services that are held to some, which networks are allowed."""


class AllowedNetworks:
    """Networks for instances. One needs an IP address to be in them, since a name may lead anywhere.

    An IPv4 address within IPv6 counts as the IPv4 address.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = NetworkMap((network, True) for network in networks)

    def has(self, address: Address) -> bool:
        """Whether an instance may be there."""
        return bool(self._networks.covering(address.name))

    def __str__(self) -> str:
        networks = [str(network) for network, _ in self._networks]
        return ", ".join(networks[:SHOWN]) + (", ..." if len(networks) > SHOWN else "")
