"""What a connection of HTTP/1.1 is doing; `connection.py` says what each phase means."""

from __future__ import annotations

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
