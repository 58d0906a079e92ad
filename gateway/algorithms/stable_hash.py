"""A hash that is the same in every process and on every machine, so that all gateways agree on who serves whom."""

from __future__ import annotations

import hashlib


def stable_hash(data: bytes, salt: bytes = b"") -> int:
    """A number of 64 bits (BLAKE2b). `salt`, of at most 16 bytes, makes it another function."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, salt=salt).digest(), "little")
