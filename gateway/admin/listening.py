"""Where the admin port listens, and when it must not."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

NO_TOKEN = (
    "the admin port listens on {address}, which is not a loopback address, and no token is configured: run "
    "`gateway admin token new` and paste what it prints under admin.tokens of middleware.yaml, or use "
    "--admin 127.0.0.1:9001"
)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the admin port listens."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return _is_loopback(self.host)

    def is_meant(self, host: str) -> bool:
        """Whether a `Host` without its port means this address."""
        if self.loopback:
            return _is_loopback(host)
        address = _address(host)
        if address is None:
            return host == self.host.lower()
        mine = _address(self.host)
        return mine is None or mine.is_unspecified or address == mine


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is None:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
