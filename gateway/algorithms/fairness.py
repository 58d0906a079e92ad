"""Takes turns between clients, whatever each of them has brought.

A client is an IPv4 address, or the /64 network of an IPv6 address. One with a thousand connections has as many turns as
one with a single connection; where no other waits, it has them all. So an address behind which there are many
clients, such as that of a load balancer, is not held back, only taken in turn with others.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A queue by client: each in turn has its oldest item taken, the client that has waited longest first."""

    __slots__ = ("_places", "_size")

    def __init__(self) -> None:
        self._places: dict[bytes | str, deque[T]] = {}  # whose turn it is comes first
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, place: bytes | str, item: T) -> None:
        """Queue it behind the other items of its client."""
        waiting = self._places.get(place)
        if waiting is None:
            self._places[place] = deque((item,))
        else:
            waiting.append(item)
        self._size += 1

    def take(self) -> T:
        """The next. Raises StopIteration where nothing waits."""
        place = next(iter(self._places))
        waiting = self._places.pop(place)
        item = waiting.popleft()
        if waiting:
            self._places[place] = waiting  # behind the others
        self._size -= 1
        return item


def place_of(host: str) -> bytes | str:
    """The key of one client: its IPv4 address, or the /64 network of its IPv6 address."""
    if ":" not in host:
        return host
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return packed[12:] if packed.startswith(b"\0" * 10 + b"\xff\xff") else packed[:8]
