"""The sockets that the gateway listens on, opened before anything else, so that a port in use is reported at once."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

BACKLOG = 2048

Kind = Literal["http", "admin", "metrics"]
KINDS: Final[tuple[Kind, ...]] = ("http", "admin", "metrics")

Listeners = dict[Kind, list[socket.socket]]
"""What listens, by what it is for; nothing where that is off."""


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


def listen(wanted: Wanted) -> list[socket.socket]:
    """Listen on every address that the host stands for. Raises ListenError."""
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(wanted):
            made = socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=wanted.reuse_port)
            sockets.append(made)
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise ListenError(f"cannot listen on {_show(wanted.host, wanted.port)}: {_remedy(error, wanted)}") from None
    return sockets


def listen_on_all(wanted: Mapping[Kind, Wanted], given: Listeners) -> Listeners:
    """What was given, as it is, and all else opened. Raises ListenError; then nothing stays open."""
    listeners = dict(given)
    try:
        for kind, place in wanted.items():
            if kind not in listeners:
                listeners[kind] = listen(place)
    except ListenError:
        close_all(listeners)
        raise
    return listeners


def fitting(wanted: Mapping[Kind, Wanted], given: Listeners) -> Listeners:
    """What was given and is where it is wanted; the rest is closed. Raises ListenError."""
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


def _remedy(error: OSError, wanted: Wanted) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "another process uses this port; stop it (ss -ltnp shows which), start with --takeover if it is a gateway, "
            f"or choose another with {wanted.port_option}"
        )
    if error.errno == errno.EACCES:
        return f"ports below 1024 need privileges; choose another with {wanted.port_option}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no such address; choose another with {wanted.host_option}"
    return f"{os.strerror(error.errno or 0)}; choose another with {wanted.host_option}"
