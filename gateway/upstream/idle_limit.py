"""How long a connection may have been idle to be trusted with a request that must not be sent twice.

A backend that closes idle connections after T may do so in the moment in which a request is on its way to it, and that
request fails. T is not known; it is learned for each endpoint, from what the endpoint says (`Keep-Alive: timeout=5`),
from the connections that it closes while they are idle, and from old ones that still answer.
"""

from __future__ import annotations

from typing import Final

START: Final = 4.0
"""Seconds, until something is known: Node.js and uvicorn close after 5."""

_MARGIN: Final = 0.1
"""Seconds, at least, that stay between a use and the close: what is on the way, and loops that are busy."""

_LEAST: Final = 0.05  # seconds, from which a limit grows again


class IdleLimit:
    """Observed idle times of one endpoint. All times are seconds."""

    __slots__ = ("_declared", "seconds")

    def __init__(self) -> None:
        self.seconds = START
        self._declared = 0.0

    def declared(self, seconds: float) -> None:
        """The endpoint says for how long it keeps idle connections."""
        if seconds != self._declared:
            self._declared = seconds
            self.seconds = min(_before(seconds), max(0.0, seconds - 1))  # it counts in whole seconds

    def closed(self, age: float) -> None:
        """The endpoint closed a connection that had been idle for so long."""
        limit = _before(age)
        if limit < self.seconds:
            self.seconds = limit
        else:
            self.stayed_open(age)

    def stayed_open(self, age: float) -> None:
        """A connection was idle for so long and still open: a close that was seen earlier may have had another cause.

        That makes up for such a close only; beyond START, nothing but an answer counts, as an open connection may lead
        nowhere.
        """
        limit = min(_before(age), START, 2 * max(self.seconds, _LEAST))
        self.seconds = max(self.seconds, limit)

    def answered(self, age: float) -> None:
        """A request was answered on a connection that had been idle for so long."""
        limit = _before(age)
        self.seconds = max(self.seconds, limit)


def _before(close: float) -> float:
    """The longest idle time that is safely shorter than this one."""
    return max(0.0, min(0.8 * close, close - _MARGIN))
