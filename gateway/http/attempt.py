"""One try at one endpoint, as a value."""

from __future__ import annotations

from typing import Final, Protocol

from gateway.errors import ErrorKind

REFUSALS: Final = frozenset({429, 503})
"""Statuses with which an endpoint says that it wants no more for now."""


class Observer(Protocol):
    """Learns from attempts."""

    def ended(self, attempt: Attempt) -> None:
        """An attempt is over. Must not raise, and must not wait."""
        ...


class Attempt:
    """Filled in while it goes on, and reported once, when it is over; from then on nothing changes but `retry`.

    The counters of an endpoint, the access log, and what judges endpoints all read this.
    """

    # Defaults of the class: most attempts differ in few of them.
    waited: float = 0.0  # seconds, until there was a connection
    connected: bool = False  # there was one; without it, the endpoint has seen nothing of the request
    reused: bool = False  # the connection had served others before
    seconds: float | None = None  # from then on until the head of the response
    took: float = 0.0  # seconds, until it failed or was given up without an answer
    status: int = 0  # of the response; 0: none came
    retry_after: float = 0.0  # seconds for which a response asks to be left alone, in a refusal
    sent: int = 0  # body bytes
    received: int = 0  # body bytes
    failure: ErrorKind | None = None  # None: the response was whole, or its reader went away
    open_ended: bool = False  # the response ends with the connection: nothing tells whether it is whole
    unanswered: bool = False  # it failed before a byte of an answer came
    retry: str = ""  # why another attempt followed; empty where none did

    def __init__(
        self, endpoint: str, started: float, first: Observer | None = None, others: tuple[Observer, ...] = ()
    ) -> None:
        self.endpoint = endpoint  # its address
        self.started = started  # time.perf_counter(), when it was picked
        self._first = first
        self._others = others

    def end(self) -> None:
        """It is over. Safe to call any number of times."""
        first, self._first = self._first, None
        if first is not None:
            first.ended(self)
            for observer in self._others:
                observer.ended(self)
            self._others = ()

    def summary(self) -> dict[str, object]:
        """For logs: where, how it ended, after how many milliseconds, and why another one followed."""
        seconds = self.took if self.seconds is None else self.waited + self.seconds
        shown: dict[str, object] = {"endpoint": self.endpoint}
        if self.status:
            shown["status"] = self.status
        if self.failure is not None:
            shown["error"] = self.failure.slug
        shown["ms"] = int(seconds * 1e6 + 0.5) / 1e3
        shown["why_next"] = self.retry or None
        return shown
