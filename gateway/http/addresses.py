"""Addresses of the network as text."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

_MAPPED: Final = re.compile(r"::ffff:([0-9.]+)")
_OCTETS: Final = {str(number): number for number in range(256)}  # none has a zero in front


def ipv4_number(text: str) -> int | None:
    """The number of an IPv4 address; None for any other text. It reads what `ip_address` reads, for much less."""
    octets = text.split(".", 4)
    if len(octets) != 4:
        return None
    number = 0
    for octet in octets:
        value = _OCTETS.get(octet)
        if value is None:
            return None
        number = number << 8 | value
    return number


def unmapped_address(text: str) -> IPv4Address | IPv6Address:
    """An address, in IPv4 where it is an IPv4 address within IPv6. Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def peer_address(name: str) -> str:
    """The address of a peer, as the kernel names it, in the form that lists, logs and backends know: without the zone
    of a link-local one, and as IPv4 where the listener is for both families and so has it within an IPv6 address
    (RFC 4291, 2.5.5.2)."""
    if ":" not in name:
        return name
    mapped = _MAPPED.fullmatch(name)
    return name.partition("%")[0] if mapped is None else mapped[1]
