"""A stored response as bytes, and back: a line of JSON, and the body."""

from __future__ import annotations

from dataclasses import astuple

import orjson

from gateway.algorithms.http_cache.terms import Terms
from gateway.cache.store import Stored

FORMAT = 1


def pack(stored: Stored) -> bytes:
    """All of it but `at`, which the store knows."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in stored.headers]
    vary = [name.decode("latin-1") for name in stored.vary]
    head = (FORMAT, stored.status, stored.initial_age, stored.variant.hex(), vary, headers, astuple(stored.terms))
    return orjson.dumps(head) + b"\n" + stored.body


def unpack(data: bytes, at: float) -> Stored | None:
    """None where it is not what `pack` makes, as when another version of the gateway wrote it."""
    head, _, body = data.partition(b"\n")
    try:
        version, status, initial_age, variant, vary, headers, terms = orjson.loads(head)
        if version != FORMAT:
            return None
        lines = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
        names = tuple(name.encode("latin-1") for name in vary)
        made = Stored(status, lines, body, initial_age, at, names, bytes.fromhex(variant), Terms(*terms))
    except (ValueError, TypeError, AttributeError):
        return None
    return made
