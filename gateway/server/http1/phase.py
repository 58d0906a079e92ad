"""The phases of a connection of HTTP/1.1. Each phase has its own clock:

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

from gateway.config.models import ClientLimits
from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError

DISCARD_SECONDS: Final = 5.0
HALF_CLOSED_SECONDS: Final = 0.5  # without a byte of a response


class Phase(Enum):
    """The phase of a connection."""

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


def seconds_in(phase: Phase, limits: ClientLimits, *, stalls: bool, eof: bool, owes: bool) -> float:
    """How long a phase may last: of a client that does not read (`stalls`), has closed its side, or owes of a body."""
    if phase is NEW or phase is HEAD:
        return limits.header_timeout
    if phase is IDLE:
        return limits.keep_alive
    if phase is DISCARD:
        return DISCARD_SECONDS
    if stalls:
        return limits.stall
    if eof:
        return HALF_CLOSED_SECONDS
    return limits.stall if owes else NEVER


def too_slow(phase: Phase, limits: ClientLimits) -> GatewayError:
    """The refusal of what took longer, of a head or of a body."""
    detail = f"the client sent nothing more of the request body for {limits.stall:g} s"
    if phase is HEAD:
        detail = f"the request head took longer than {limits.header_timeout:g} s"
    return GatewayError(ErrorKind.REQUEST_TIMEOUT, detail)


def may_bring_request(phase: Phase, sock: socket.socket) -> bool:
    """Whether a request has begun to come, or can be expected to, or lies in the socket."""
    count = bytearray(4)
    if phase is IDLE:
        with suppress(OSError):
            fcntl.ioctl(sock.fileno(), termios.FIONREAD, count)
    return phase in (NEW, HEAD) or any(count)
