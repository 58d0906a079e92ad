"""Host names: how they are compared, and which of several patterns is the more specific."""

from typing import Final
from urllib.parse import unquote

_LONGEST: Final = 253
"""Octets in a host name (RFC 1035, section 2.3.4). Longer ones have no wildcard looked up label by label."""


def normalise_host(host: str) -> str:
    """Return a `Host` header value or a configured host as it is compared: lower case, no port, no trailing dot.

    Escapes are decoded, as in a path (RFC 3986, 6.2.2.2): a backend may take `%61pi.test` for `api.test`.
    """
    host = (unquote(host, "latin-1") if "%" in host else host).lower()
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0].removesuffix(".")


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
