"""Whether a body is the one that its Content-Digest names (RFC 9530), found out while it streams.

The last piece is held back until the digest is right. A backend so gets a body that was cut short where it is wrong,
and never one that is whole and not the one that was signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from gateway.algorithms.structured_fields import Item, StructureError, parse_dictionary
from gateway.http import Body, WrappedBody

_ALGORITHMS = {"sha-512": "sha512", "sha-256": "sha256"}  # the stronger first


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Digest:
    """A digest that a header names, and the one that is being worked out."""

    def __init__(self, name: str, expected: bytes) -> None:
        self._hash: _Hash = hashlib.new(_ALGORITHMS[name])
        self._expected = expected

    def update(self, data: bytes) -> None:
        """Go on with the next piece."""
        self._hash.update(data)

    @property
    def is_right(self) -> bool:
        """Whether it is that of what has come."""
        return self._hash.digest() == self._expected


def named_digest(text: str) -> Digest | None:
    """The strongest digest in a Content-Digest header; None where there is none that is known, or it is malformed."""
    try:
        members = parse_dictionary(text)
    except StructureError:
        return None
    for name in _ALGORITHMS:
        member = members.get(name)
        if isinstance(member, Item) and isinstance(member.value, bytes):
            return Digest(name, member.value)
    return None


def digested(body: Body, digest: Digest, refuse: Callable[[], None]) -> Body:
    """A body whose last piece comes only if it is the one that was signed.

    Where it is not, `refuse` is asked, which raises, or lets it pass.
    """
    held: bytes | None = None

    async def following() -> bytes:
        data = await body.read()
        if data:
            digest.update(data)
        elif not digest.is_right:
            refuse()
        return data

    async def read() -> bytes:
        nonlocal held
        given = await following() if held is None else held
        held = await following() if given else given
        return given

    return WrappedBody(body, read, lambda: False)  # one piece is always held back, so that a second is needed
