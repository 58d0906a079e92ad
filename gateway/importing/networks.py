"""Networks as ours are written: others take `10.0.0.1/8` for `10.0.0.0/8`."""

from __future__ import annotations

from ipaddress import ip_network


def network(text: str) -> str:
    """The network of an address with a prefix length; what is none stays as it is."""
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        return text
    return str(found) if "/" in text else text
