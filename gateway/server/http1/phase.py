"""What a connection of HTTP/1.1 is doing. Each phase has its own clock:

NEW        connected, nothing has come        header_timeout, then closed without a word
HEAD       part of a request head has come    header_timeout, then 408
BUSY       a request is being answered        stall, while the client owes body bytes or does not read;
                                              HALF_CLOSED_SECONDS, once it has closed its side
DISCARD    answered, its body still coming    DISCARD_SECONDS and DISCARD_LIMIT, then it ends
IDLE       between requests                   keep_alive, then closed
GONE       closed, or another protocol has it: `lingering.py` where everything is said, a tunnel of WebSockets
"""

from __future__ import annotations

import fcntl
import socket
import termios
from contextlib import suppress
from enum import Enum
from typing import Final


class Phase(Enum):
    """What a connection is doing."""

    NEW = "new"
    HEAD = "head"
    BUSY = "busy"
    DISCARD = "discard"
    IDLE = "idle"
    GONE = "gone"


# An enumeration's members are slow to look up, and these are asked for many times in every request.
NEW: Final = Phase.NEW
HEAD: Final = Phase.HEAD
BUSY: Final = Phase.BUSY
DISCARD: Final = Phase.DISCARD
IDLE: Final = Phase.IDLE
GONE: Final = Phase.GONE


def may_bring_request(phase: Phase, sock: socket.socket) -> bool:
    """Whether a request has begun to come, or can be expected to, or lies in the socket."""
    count = bytearray(4)
    if phase is IDLE:
        with suppress(OSError):
            fcntl.ioctl(sock.fileno(), termios.FIONREAD, count)
    return phase in (NEW, HEAD) or any(count)
