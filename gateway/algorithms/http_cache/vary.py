"""Which requests a stored response answers: those with the same values in the fields that its Vary names.

(RFC 9111, 4.1.) What is kept of these values is a digest, so that no client makes a variant large.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from gateway.http.bodies import Headers
from gateway.http.fields import tokens, values

MOST_NAMES: Final = 16  # of a Vary that is followed


def vary_names(headers: Headers) -> tuple[bytes, ...] | None:
    """The names in all lines of Vary, in lower case; None where there are more than MOST_NAMES."""
    named = tokens(headers, b"vary")
    return tuple(sorted(named)) if len(named) <= MOST_NAMES else None


def variant(names: Iterable[bytes], request: Headers) -> bytes:
    """The key of the requests that a response with this Vary answers. `request`: as it was sent."""
    parts = []
    for name in names:
        found = values(request, name)
        parts += [name, b"-" if not found else b"+" + _normal(name, b",".join(found))]
    return blake2b(b"".join(b"%d:%b" % (len(part), part) for part in parts), digest_size=16).digest()


def _normal(name: bytes, value: bytes) -> bytes:
    """The value without irrelevant differences: white space around commas, and the order of codings."""
    members = [
        b"".join(member.split()) if name == b"accept-encoding" else member.strip() for member in value.split(b",")
    ]
    if name == b"accept-encoding":
        return b",".join(sorted({member.lower() for member in members if member}))
    return b",".join(members)
