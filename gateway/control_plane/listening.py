"""The sockets that a control plane listens on: one for each address of its host."""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

BACKLOG: Final = 2048
MOST_FILES: Final = 65_536
_ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # this machine has no address of the family


class CannotListenError(Exception):
    """Why not, and what to do."""


@contextmanager
def bound(host: str, port: int) -> Iterator[Sequence[socket.socket]]:
    """Exclusively bound sockets that do not accept connections yet; at least one. Raises CannotListenError."""
    with ExitStack() as stack:
        try:
            listeners = list(_bound(host, port, stack))
        except (OSError, UnicodeError) as error:
            raise _refused(host, port, error) from None
        yield listeners


def _bound(host: str, port: int, stack: ExitStack) -> Iterator[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    failure: OSError | None = None
    count = 0
    for family, kind, protocol, _, address in sorted(dict.fromkeys(found)):  # IPv4 is the first
        try:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6 and len(found) > 1:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address[0], port, *address[2:]))
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            failure = error
            continue
        port = listener.getsockname()[1]  # where it was 0, the same for all of them
        count += 1
        yield listener
    if failure is not None and not count:
        raise failure


def listen(listeners: Sequence[socket.socket]) -> None:
    """Start accepting connections. Raises CannotListenError."""
    for listener in listeners:
        try:
            listener.listen(BACKLOG)
        except OSError as error:  # another process did meanwhile
            host, port = listener.getsockname()[:2]
            raise _refused(host, port, error) from None


def shown(listener: socket.socket) -> str:
    """Its address, as a URL has it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def allow_files() -> None:
    """Each gateway has a connection, and the usual limit of 1024 files is less than some have gateways."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _refused(host: str, port: int, error: OSError | UnicodeError) -> CannotListenError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return CannotListenError(f"cannot listen on {host}:{port}: {reason}; name another with --host and --port")
