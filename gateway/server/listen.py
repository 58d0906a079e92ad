"""The sockets that the gateway listens on, opened before anything else, so that a port in use is reported at once."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

BACKLOG = 2048

Kind = Literal["http", "admin", "metrics"]
KINDS: Final[tuple[Kind, ...]] = ("http", "admin", "metrics")

_SO_ATTACH_FILTER: Final = 26  # socket(7); the instructions are those of BPF, as in linux/filter.h
_SO_DETACH_FILTER: Final = 27
_NO_FIRST_PACKETS: Final = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of flags, which is the 14th of a TCP header
        (0x54, 0, 0, 0x12),  # of these SYN and ACK
        (0x15, 0, 1, 0x02),  # where it is SYN alone,
        (0x06, 0, 0, 0),  # drop the packet
        (0x06, 0, 0, 0xFFFFFFFF),  # and else keep it whole
    )
)

IN_USE: Final = (
    "another process uses this port; stop it (ss -ltnp shows which), start with --takeover if it is a gateway"
)

Listeners = dict[Kind, list[socket.socket]]
"""The listeners by purpose; none if it is off."""


class StartError(Exception):
    """The gateway cannot start. Says why, and what to do."""


class ListenError(StartError):
    """An address cannot be listened on. Says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where to listen, and which options of the command say so."""

    host: str
    port: int
    host_option: str
    port_option: str
    reuse_port: bool = False  # other processes may listen there, too (SO_REUSEPORT)


def listen(wanted: Wanted, in_use: str = IN_USE) -> list[socket.socket]:
    """Listen on every address that the host stands for. `in_use`: of a port that is, and what to do. Raises
    ListenError."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(wanted):
            made = socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=wanted.reuse_port)
            sockets.append(made)
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise ListenError(
            f"cannot listen on {_show(wanted.host, wanted.port)}: {_remedy(error, wanted, in_use)}"
        ) from None
    return sockets


def listen_on_all(wanted: Mapping[Kind, Wanted], given: Listeners, in_use: str = IN_USE) -> Listeners:
    """The given sockets unchanged, and the others opened. Raises ListenError; then none stays open."""
    listeners = dict(given)
    try:
        for kind, place in wanted.items():
            if kind not in listeners:
                listeners[kind] = listen(place, in_use)
    except ListenError:
        close_all(listeners)
        raise
    return listeners


def fitting(wanted: Mapping[Kind, Wanted], given: Listeners) -> Listeners:
    """The given sockets that are wanted; the rest is closed. Raises ListenError."""
    kept: Listeners = {}
    for kind, sockets in given.items():
        if kind in wanted and _is_there(wanted[kind], sockets):
            kept[kind] = sockets
        else:
            close_all({kind: sockets})
    return kept


def close_all(listeners: Listeners) -> None:
    """Close them in this process; they go on listening where another one has them, too."""
    for sockets in listeners.values():
        for each in sockets:
            each.close()


def turn_away(listener: socket.socket) -> None:
    """Have the kernel answer no further attempt to connect, while those that it has answered are completed.

    Connections in its queue are reset when a listener is closed, so they would have to be accepted at the very moment
    of closing. Clients that are not answered ask again after a second. All processes that have this listener share it.
    """
    import ctypes  # noqa: PLC0415  only the end of a gateway needs it

    program = ctypes.create_string_buffer(_NO_FIRST_PACKETS)
    with suppress(OSError):  # a kernel without it resets a few
        listener.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HP", len(_NO_FIRST_PACKETS) // 8, ctypes.addressof(program)),
        )


def end_for_all(listener: socket.socket) -> None:
    """Listen no more, also where another process has this listener, but will serve no more."""
    with suppress(OSError):  # it is closed already
        listener.shutdown(socket.SHUT_RDWR)


def take_in(listener: socket.socket) -> None:
    """Undo it."""
    with suppress(OSError):  # there is no filter
        listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def address_of(sockets: list[socket.socket]) -> str:
    """The first of them, as people write it."""
    return _show(*sockets[0].getsockname()[:2]) if sockets else "off"


def _is_there(wanted: Wanted, sockets: list[socket.socket]) -> bool:
    """Port 0 is any port."""
    places = {(each.family, each.getsockname()[0], wanted.port and each.getsockname()[1]) for each in sockets}
    return places == {(family, address[0], wanted.port) for family, address in _addresses(wanted)}


def _addresses(wanted: Wanted) -> list[tuple[int, Any]]:
    try:
        found = socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        message = f"{wanted.host} is no address to listen on: {error.strerror}; correct {wanted.host_option}"
        raise ListenError(message) from None
    return [(family, address) for family, _, _, _, address in found]


def _show(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _remedy(error: OSError, wanted: Wanted, in_use: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{in_use}, or choose another with {wanted.port_option}"
    if error.errno == errno.EACCES:
        return f"ports below 1024 need privileges; choose another with {wanted.port_option}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no such address; choose another with {wanted.host_option}"
    return f"{os.strerror(error.errno or 0)}; choose another with {wanted.host_option}"
