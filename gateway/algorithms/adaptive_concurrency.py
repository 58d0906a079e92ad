"""How many requests a service takes at once before it slows down: Envoy's gradient controller.

From time to time the round trip of a service that is not loaded is measured, with few requests at once. As long as
requests take about as long as that, the limit grows, by the root of itself; when they take longer, it shrinks in
proportion. Times are seconds of one clock that does not go back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.algorithms.percentiles import Sketch

_MINIMA: Final = 5  # windows at the minimum, after which the round trip is measured again


@dataclass(frozen=True, slots=True)
class GradientSettings:
    """How the limit moves."""

    minimum: int = 3
    maximum: int = 1000
    window: float = 0.1  # after which the limit is computed again
    quantile: float = 0.5  # of the samples in a window
    buffer: float = 0.25  # by so much longer than unloaded is as good
    interval: float = 60.0  # between measurements of the unloaded round trip
    jitter: float = 0.15  # up to this share is added to the interval
    requests: int = 50  # of a measurement
    clamp: bool = True  # measure with `minimum` requests at once; else from the traffic as it is


class GradientLimit:
    """Says before each request whether there is room, and learns once how it ended."""

    __slots__ = (
        "_deferred",
        "_epoch",
        "_minima",
        "_next_measurement",
        "_random",
        "_samples",
        "_settings",
        "_window_end",
        "in_flight",
        "limit",
        "measuring",
        "unloaded",
    )

    def __init__(self, settings: GradientSettings, now: float, random: Callable[[], float]) -> None:
        """`random` draws from [0, 1)."""
        self.in_flight = 0
        self.limit = settings.minimum
        self.unloaded = 0.0  # seconds; 0 until it was measured
        self.measuring = False
        self._settings = settings
        self._random = random
        self._minima = 0  # windows in a row that left the limit at its minimum
        self._next_measurement = now
        self._window_end = now
        self._samples = Sketch()
        self._deferred = settings.minimum  # the limit after the measurement that is going on
        self._epoch = now  # what was sent before is no sample
        self._measure(now)

    def configure(self, settings: GradientSettings) -> None:
        """Move by these from now on. What was measured is kept."""
        self._settings = settings
        self.limit = max(settings.minimum, min(settings.maximum, self.limit))
        self._deferred = max(settings.minimum, min(settings.maximum, self._deferred))

    def acquire(self, now: float) -> bool:
        """Whether one more may be sent now. If so, it must be given to `ended` or to `lost`."""
        self._pass(now)
        if self.in_flight >= self.limit:
            return False
        self.in_flight += 1
        return True

    def ended(self, began: float, now: float) -> None:
        """A request was answered."""
        self.in_flight -= 1
        self._pass(now)
        if began < self._epoch:  # it waited in line with more than there are now
            return
        self._samples.add(now - began)
        if self.measuring and self._samples.count >= self._settings.requests:
            settings = self._settings
            self.measuring = False
            self.unloaded = self._samples.quantile(settings.quantile)
            self.limit = self._deferred
            self._samples = Sketch()
            self._epoch = -math.inf
            self._next_measurement = now + settings.interval * (1 + settings.jitter * self._random())
            self._window_end = now + settings.window

    def lost(self) -> None:
        """A request ended without an answer that says how long one takes."""
        self.in_flight -= 1

    def _pass(self, now: float) -> None:
        if self.measuring:
            return
        if now >= self._next_measurement:
            self._measure(now)
        elif now >= self._window_end:
            self._window_end = now + self._settings.window
            if self._samples.count:
                settings = self._settings
                taken, self._samples = self._samples.quantile(settings.quantile), Sketch()
                before, self.limit = self.limit, next_limit(self.limit, self.unloaded, taken, settings)
                self._minima = self._minima + 1 if before == self.limit == settings.minimum else 0
                if self._minima >= _MINIMA:
                    self._measure(now)

    def _measure(self, now: float) -> None:
        self.measuring = True
        self._minima = 0
        self._samples = Sketch()
        self._deferred = self.limit
        self._epoch = -math.inf
        if self._settings.clamp:
            self._epoch = now
            self.limit = self._settings.minimum


def next_limit(limit: int, unloaded: float, taken: float, settings: GradientSettings) -> int:
    """The limit after a window in which requests took so long, in seconds."""
    gradient = unloaded * (1 + settings.buffer) / taken if taken else 2.0
    scaled = limit * max(0.5, min(2.0, gradient))
    return int(max(settings.minimum, min(settings.maximum, scaled + math.sqrt(scaled))))
