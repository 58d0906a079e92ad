"""Host names: which of several patterns is the more specific."""

from typing import Final

_LONGEST: Final = 253
"""Octets in a host name (RFC 1035, section 2.3.4). Longer ones have no wildcard looked up label by label."""


def wildcards(host: str) -> list[str]:
    """Return the wildcard patterns that fit a normalised host, longest first: "*.b.c" and "*.c" for "a.b.c"."""
    found = []
    dot = host.find(".", 1) if len(host) <= _LONGEST else -1
    while dot > 0:
        found.append("*" + host[dot:])
        dot = host.find(".", dot + 1)
    return found


def best_pattern(patterns: tuple[str, ...], host: str) -> str | None:
    """Return the most specific of `patterns` that fits a normalised host: "" if there are none, None if none fits."""
    if not patterns:
        return ""
    return next((candidate for candidate in (host, *wildcards(host)) if candidate in patterns), None)
