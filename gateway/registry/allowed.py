"""Where the instances of a service may be."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from gateway.algorithms.networks import Network, NetworkMap
from gateway.algorithms.reserved import is_part_of_reserved, is_reserved, is_reserved_or_leads_there, meant
from gateway.upstream.member import Address

SHOWN: Final = 5  # networks, in a message
PUBLISHED: Final = "registry-networks"
"""The hash in Redis in which gateways say, for services that are held to some, which networks are allowed."""
OUTSIDE: Final = "outside of allowed_networks"
RESERVED: Final = "link-local, reserved, or of a cloud's metadata; where it is meant, name it in allowed_networks"


class AllowedNetworks:
    """Networks for instances; none: all. One needs an IP address to be in them, since a name may lead anywhere.

    An IPv4 address within IPv6 counts as the IPv4 address. Addresses that are never used at the word of another party
    are in none of these, unless one names them: a network that has nothing else, or this one address.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        listed = [*networks]
        self._networks = NetworkMap((network, True) for network in listed)
        named = (each for each in listed if is_part_of_reserved(each) or each.prefixlen == each.max_prefixlen)
        self._named = NetworkMap((network, True) for network in named)
        self._all = not listed

    def why_not(self, address: Address) -> str | None:
        """Why no instance may be there; None where one may. A name may lead to what is checked when it is asked for."""
        name = address.name
        if not self._all and not self._networks.covering(name):
            return OUTSIDE
        if not is_reserved_or_leads_there(name) or self._named.covering(name):
            return None
        reached = (each for each in meant(ip_address(name)) if is_reserved(each))
        return None if all(self._named.covering(str(each)) for each in reached) else RESERVED

    def __str__(self) -> str:
        networks = [str(network) for network, _ in self._networks]
        return ", ".join(networks[:SHOWN]) + (", ..." if len(networks) > SHOWN else "")
