"""Addresses that are never connected to at the word of another party: metadata services, link-local and reserved ones.

Who may say where requests go could otherwise have the gateway ask them (server-side request forgery).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from gateway.algorithms.networks import Network, NetworkMap, unmapped
from gateway.http.addresses import ipv4_number, unmapped_address

Address = IPv4Address | IPv6Address

_NEVER: Final[tuple[Network, ...]] = (
    IPv4Network("0.0.0.0/8"),  # some systems take it as this machine
    IPv4Network("169.254.0.0/16"),  # link-local: metadata of AWS, GCP, Azure, ...
    IPv4Network("100.100.100.200/32"),  # metadata of Alibaba Cloud
    IPv4Network("168.63.129.16/32"),  # the host of a virtual machine in Azure
    IPv4Network("192.0.0.192/32"),  # metadata of Oracle Cloud, classic
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved, and broadcast
    IPv6Network("::/128"),
    IPv6Network("fe80::/10"),  # link-local
    IPv6Network("fec0::/10"),  # site-local, which is no more
    IPv6Network("ff00::/8"),  # multicast
    IPv6Network("fd00:ec2::/32"),  # metadata, time and names of AWS
    IPv6Network("fd20:ce::254/128"),  # metadata of GCP
    IPv6Network("fd00:42::42/128"),  # metadata of Scaleway
    IPv6Network("fd00:c1::a9fe:a9fe/128"),  # metadata of Oracle Cloud
)
_TRANSLATED: Final = (
    IPv6Network("64:ff9b::/96"),  # RFC 6052: the last 32 bits are an IPv4 address, as in all of these
    IPv6Network("64:ff9b:1::/48"),  # RFC 8215
    IPv6Network("::ffff:0:0:0/96"),  # RFC 2765
    IPv6Network("::/96"),  # RFC 4291, 2.5.5.1
)
_ISATAP: Final = 0x5EFE  # RFC 5214: bits 32 to 63 of an address whose last 32 bits are an IPv4 address
_FIRST_OCTETS: Final = frozenset({0, 100, 168, 169, 192, *range(224, 256)})
"""Of the networks of IPv4."""
_NEVER_MAP: Final = NetworkMap((network, True) for network in _NEVER)


def is_reserved(address: Address) -> bool:
    """Whether an address, as it is written, is one of them; see `meant` for those that are within others."""
    return bool(_NEVER_MAP.covering(str(address)))


def is_part_of_reserved(network: Network) -> bool:
    """Whether all addresses of a network are."""
    network = unmapped(network)
    return any(
        network.version == each.version and network.network_address in each and network.prefixlen >= each.prefixlen
        for each in _NEVER
    )


def is_reserved_or_leads_there(text: str) -> bool:
    """Whether an address is one of them, or an IPv4 address within it is; False for a text that is none."""
    number = ipv4_number(text)
    if number is not None and number >> 24 not in _FIRST_OCTETS:
        return False  # nearly all
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(is_reserved(each) for each in meant(address))


def meant(address: Address) -> Iterable[Address]:
    """The address, and the IPv4 addresses that are within it by one of the ways from IPv6 to IPv4."""
    address = unmapped_address(str(address).partition("%")[0])
    yield address
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    if number == 1:
        return  # this machine
    if any(address in network for network in _TRANSLATED) or number >> 32 & 0xFDFFFFFF == _ISATAP:
        yield IPv4Address(number & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
