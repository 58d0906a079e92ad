"""Bytes of memory that many share."""

from __future__ import annotations


class Room:
    """So many bytes, of which each takes what it needs, as long as there are some left."""

    __slots__ = ("size", "used")

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0

    def take(self, size: int) -> bool:
        """Whether there were so many bytes left, which are taken then."""
        if self.used + size > self.size:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Give the bytes back."""
        self.used -= size
