"""One try at one endpoint, as a value."""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import ErrorKind


class Attempt:
    """Filled in while it goes on, and reported once, when it is over; from then on it does not change.

    The counters of an endpoint, the access log, and what judges endpoints all read this.
    """

    # Defaults of the class: most attempts differ in few of them.
    waited: float = 0.0  # seconds, until there was a connection
    connected: bool = False  # there was one; without it, the endpoint has seen nothing of the request
    reused: bool = False  # the connection had served others before
    seconds: float | None = None  # from then on until the head of the response
    status: int = 0  # of the response; 0: none came
    sent: int = 0  # body bytes
    received: int = 0  # body bytes
    failure: ErrorKind | None = None  # None: the response was whole, or its reader went away
    unanswered: bool = False  # it failed before a byte of an answer came
    retry: str = ""  # why another attempt followed; empty where none did

    def __init__(self, endpoint: str, started: float, observers: tuple[Observer, ...] = ()) -> None:
        self.endpoint = endpoint  # its address
        self.started = started  # time.perf_counter(), when it was picked
        self._observers = observers

    def end(self) -> None:
        """It is over. Safe to call any number of times."""
        observers, self._observers = self._observers, ()
        for observer in observers:
            observer(self)


Observer = Callable[[Attempt], None]
"""Learns from an attempt that is over. Must not raise, and must not wait."""
