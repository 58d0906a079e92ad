"""Where gateways may be: which addresses the control plane connects to.

A caller that may register a gateway decides where requests of the control plane go (server-side request forgery). So
addresses are judged when a connection is opened, after the name is resolved: what a name leads to may change between
two looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final

from gateway.algorithms.networks import Network
from gateway.algorithms.reserved import Address, is_reserved, meant
from gateway.config.values.addresses import parse_network
from gateway.config.values.kinds import refuse
from gateway.http.addresses import unmapped_address

PRIVATE: Final = "private"  # networks without a way in from the internet
NAMES: Final = "names"  # names, wherever they lead, except to what needs a word of its own
LOOPBACK: Final = "loopback"  # this machine
DEFAULT: Final = (PRIVATE, NAMES)
EVERYWHERE: Final = ("0.0.0.0/0", "::/0")

_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_PRIVATE: Final = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),  # RFC 6598: networks of providers, and of many clusters
    IPv6Network("fc00::/7"),
)
_METADATA_NAMES: Final = frozenset({"metadata", "instance-data", "metadata.google.internal", "metadata.goog"})


@dataclass(frozen=True, slots=True)
class AllowedAddresses:
    """The addresses that `networks` allows; never metadata services and link-local addresses."""

    networks: tuple[Network, ...]
    names: bool  # whether a name may lead to any address but this machine's

    def refusal(self, address: Address, name: str | None = None) -> str | None:
        """Why nothing is sent to an address, which `name` leads to, or which is written as it is. None: it may be."""
        each = tuple(meant(address))
        where = str(address) if name is None else f"{name} leads to {address}, which"
        if any(map(is_reserved, each)):
            return f"{where} is a link-local, metadata or reserved address: no gateway may be there"
        if all(self._allowed(one, name is not None) for one in each):
            return None
        return f"{where} is in none of the allowed networks: add its network to `networks` in control-plane.yaml"

    def refusal_of_host(self, host: str) -> str | None:
        """The same of the host of a URL, before its name is resolved."""
        plain = host.removesuffix(".").lower()
        if plain in _METADATA_NAMES:
            return f"{host} is a metadata service: no gateway may be there"
        address = literal(host)
        if address is not None:
            return self.refusal(address)
        return None

    def _allowed(self, address: Address, is_name: bool) -> bool:
        if any(address in network for network in self.networks):
            return True
        return is_name and self.names and not any(address in network for network in _LOOPBACK)


def allowed_addresses(entries: Iterable[str]) -> AllowedAddresses:
    """Parses `networks`: networks, and the keywords `private`, `names` and `loopback`."""
    networks: list[Network] = []
    names = False
    for entry in entries:
        if entry == PRIVATE:
            networks += _PRIVATE
        elif entry == LOOPBACK:
            networks += _LOOPBACK
        elif entry == NAMES:
            names = True
        else:
            networks.append(parse_network(entry))
    return AllowedAddresses(tuple(networks), names)


def check_entry(entry: str) -> None:
    """Raises an error for what is no network and none of the words."""
    if entry in {PRIVATE, NAMES, LOOPBACK}:
        return
    try:
        parse_network(entry)
    except ValueError:
        if "/" in entry:
            raise
        raise refuse("expected a network such as 10.0.0.0/8, or one of the words private, names, loopback") from None


def literal(host: str) -> Address | None:
    """The address that a host is, in any form that resolvers take as one: `0x7f.1`, `2130706433`, `::ffff:1.2.3.4`.

    None: it is a name.
    """
    text = host.removeprefix("[").removesuffix("]").removesuffix(".")
    try:
        return unmapped_address(text.partition("%")[0])
    except ValueError:
        return _by_aton(text)


def _by_aton(text: str) -> IPv4Address | None:
    """Parses an address like inet_aton(3): one to four numbers, decimal, octal or hexadecimal; the last fills the
    rest."""
    parts = text.split(".")
    if not 1 <= len(parts) <= 4:
        return None
    numbers = [_number(part) for part in parts]
    value = 0
    for place, number in enumerate(numbers):
        room = 256 ** (5 - len(parts)) if place == len(parts) - 1 else 256
        if number is None or number >= room:
            return None
        value = value * room + number
    return IPv4Address(value)


def _number(part: str) -> int | None:
    if not part or len(part) > 16 or not part.isascii():
        return None
    base = 16 if part.lower().startswith("0x") else 8 if len(part) > 1 and part.startswith("0") else 10
    digits = part[2:] if base == 16 else part
    try:
        return int(digits or "0", base) if "_" not in part and not part.startswith(("+", "-")) else None
    except ValueError:
        return None
