"""Whose processes listen on a TCP port of this machine, as far as Linux says."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Final

_SOCK_DIAG: Final = 4  # the netlink protocol that lists sockets, sock_diag(7)
_BY_FAMILY: Final = 20
_REQUEST_OF_ALL: Final = 0x301  # NLM_F_REQUEST, NLM_F_ROOT and NLM_F_MATCH
_ERROR, _DONE = 2, 3
_LISTEN: Final = 10  # the state of a socket, TCP_LISTEN
_HEAD: Final = struct.Struct("=IHHII")  # of a netlink message: length, type, flags, number, sender
_ASKED: Final = struct.Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states; of any socket
_FOUND: Final = struct.Struct("=BBxx2s58xI")  # inet_diag_msg, so far: family, state, port, user
_WITHIN: Final = 1.0  # seconds


def users_of(port: int) -> frozenset[int]:
    """The users whose processes listen on this port.

    A command that hands a token to any process that listens there could hand it to another user, while the gateway is
    down. The kernel is asked for listening sockets alone: in /proc/net/tcp it goes through a table of all connections,
    which takes 13 ms of a core, whether there are any or not.
    """
    users = set[int]()
    for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        try:
            users |= _asked(family, port)
        except (OSError, AttributeError):  # a kernel without it, or a sandbox that forbids it
            users |= _read(Path("/proc/net") / name, port)
    return frozenset(users)


def _asked(family: int, port: int) -> set[int]:
    """Raises OSError."""
    users = set[int]()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as link:
        link.settimeout(_WITHIN)
        link.connect((0, 0))
        length = _HEAD.size + _ASKED.size
        head = _HEAD.pack(length, _BY_FAMILY, _REQUEST_OF_ALL, 1, 0)
        link.send(head + _ASKED.pack(family, socket.IPPROTO_TCP, 0, 1 << _LISTEN))
        while True:
            answer, at = link.recv(65536), 0
            while at + _HEAD.size <= len(answer):
                length, kind, *_ = _HEAD.unpack_from(answer, at)
                if kind == _DONE:
                    return users
                if kind == _ERROR or length < _HEAD.size + _FOUND.size:
                    raise OSError("the kernel does not list sockets")
                _, state, number, user = _FOUND.unpack_from(answer, at + _HEAD.size)
                if state == _LISTEN and int.from_bytes(number) == port:
                    users.add(user)
                at += (length + 3) & ~3


def _read(path: Path, port: int) -> set[int]:
    """From the text of proc(5). Nothing where there is no such file."""
    try:
        lines = path.read_text().splitlines()[1:]
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    return {int(row[7]) for row in rows if int(row[3], 16) == _LISTEN and int(row[1].rpartition(":")[2], 16) == port}
