"""Sockets that a listener has let in, made with less work than by `socket.accept`.

Python asks the kernel which family and kind a new socket has, and converts the answers to enumerations, each time that
they are looked at: once itself, and three times in uvloop. That took 7 us of each connection, of about 95 for one
that is refused. They are those of the listener.
"""

from __future__ import annotations

import _socket
import socket
from collections.abc import Callable
from typing import Any

from gateway.http.addresses import peer_address


class _Over4(socket.socket):
    __slots__ = ()
    family: Any = socket.AF_INET
    type: Any = socket.SOCK_STREAM


class _Over6(socket.socket):
    __slots__ = ()
    family: Any = socket.AF_INET6
    type: Any = socket.SOCK_STREAM


_accept: Callable[[socket.socket], tuple[int, Any]] = vars(_socket.socket)["_accept"]  # what `accept` is made of

Taken = type[_Over4] | type[_Over6]


def taken_as(listener: socket.socket) -> Taken:
    """The protocol of a listener's connections."""
    return _Over6 if listener.family == socket.AF_INET6 else _Over4


def take(listener: socket.socket, made: Taken) -> tuple[socket.socket, str]:
    """Take a connection, and the address of its client. Raises OSError."""
    descriptor, name = _accept(listener)
    accepted = made(made.family, made.type, socket.IPPROTO_TCP, descriptor)
    return accepted, peer_address(name[0])
