"""The interface to systemd: sockets, and notifications.

Sockets that it opened and hands over (sd_listen_fds(3)): they stay open while the gateway is restarted. That the
gateway is ready, reloads, or ends, where it wants to know (sd_notify(3)).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

from gateway.server.listen import KINDS, Kind, ListenError, Listeners, StartError

FIRST_DESCRIPTOR = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def sockets_of_systemd(environment: MutableMapping[str, str]) -> Listeners:
    """Those that are handed to this process, by what they are for. Raises ListenError.

    The variables are removed: they are for no child of this process.
    """
    pid, count, names = (environment.pop(name, "") for name in _VARIABLES)
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    listeners: Listeners = {}
    given = names.split(":") if names else []
    for index in range(int(count)):
        kind = _kind(given[index] if index < len(given) else "")
        descriptor = FIRST_DESCRIPTOR + index
        os.set_inheritable(descriptor, False)
        listener = socket.socket(fileno=descriptor)
        if listener.family not in (socket.AF_INET, socket.AF_INET6) or listener.type != socket.SOCK_STREAM:
            raise ListenError("systemd hands over a socket that is not TCP; write ListenStream=PORT in its unit")
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ListenError("systemd hands over a connection instead of a listener; write Accept=no in its unit")
        listeners.setdefault(kind, []).append(listener)
    return listeners


def _kind(name: str) -> Kind:
    for kind in KINDS:
        if name == kind:
            return kind
    if name in ("", "unknown") or name.endswith(".socket"):  # no FileDescriptorName= says anything else
        return "http"
    raise StartError(f"systemd hands over a socket named {name}; name it http, admin or metrics (FileDescriptorName=)")


READY = "READY=1"
STOPPING = "STOPPING=1"


def reloading() -> str:
    """A reload begins now; READY follows at its end."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def status(text: str) -> str:
    """The status line of `systemctl status`."""
    return "STATUS=" + " ".join(text.split())


def notify(*said: str) -> None:
    """Notify systemd, if `NOTIFY_SOCKET` is set. Never raises: nothing depends on it here."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect("\0" + address[1:] if address[0] == "@" else address)
        sender.sendall("\n".join(said).encode())
