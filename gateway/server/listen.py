"""The sockets that the gateway listens on, opened before anything else, so that a port in use is reported at once."""

from __future__ import annotations

import errno
import os
import socket

BACKLOG = 2048


class ListenError(Exception):
    """An address cannot be listened on. Says which, why, and what to do."""


def listen(host: str, port: int, host_option: str, port_option: str) -> list[socket.socket]:
    """Listen on every address that `host` stands for. The options are what chooses it. Raises ListenError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(f"{host} is no address to listen on: {error.strerror}; correct {host_option}") from None
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in found:
            sockets.append(socket.create_server(address, family=family, backlog=BACKLOG))
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise ListenError(f"cannot listen on {_show(host, port)}: {_remedy(error, host_option, port_option)}") from None
    return sockets


def address_of(sockets: list[socket.socket]) -> str:
    """The first of them, as people write it."""
    return _show(*sockets[0].getsockname()[:2]) if sockets else "off"


def _show(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _remedy(error: OSError, host_option: str, port_option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"another process uses this port; stop it (ss -ltnp shows which), or choose another with {port_option}"
    if error.errno == errno.EACCES:
        return f"ports below 1024 need privileges; choose another with {port_option}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no such address; choose another with {host_option}"
    return f"{os.strerror(error.errno or 0)}; choose another with {host_option}"
