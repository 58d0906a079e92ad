"""Lines about what fails again and again, such as something outside that is away: few enough to fill no log."""

from __future__ import annotations

import time
from collections.abc import Callable


class ThrottledLog:
    """At most one line in so many `seconds`, with the number of those that were left out before it.

    `write` is a method of a logger, such as `logger.warning`. For one thread at a time. `clock` is monotonic.
    """

    def __init__(self, write: Callable[..., None], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._seconds = seconds
        self._clock = clock
        self._quiet_until = float("-inf")
        self._left_out = 0

    def line(self, message: str, *values: object) -> None:
        """Write this, unless there was a line a short time ago."""
        if self._clock() < self._quiet_until:
            self._left_out += 1
        elif self._left_out:
            self.always(f"{message}; %d more since the last line", *values, self._left_out)
        else:
            self.always(message, *values)

    def at_once(self, message: str, *values: object) -> None:
        """Write this in any case, with the number of those that were left out: the first of another kind."""
        self._quiet_until = float("-inf")
        self.line(message, *values)

    def always(self, message: str, *values: object) -> None:
        """Write this in any case: something that happens once, such as the end of an outage."""
        self._write(message, *values)
        self._quiet_until = self._clock() + self._seconds
        self._left_out = 0
