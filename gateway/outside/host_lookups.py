"""Do names resolve, on this machine and now? Asked for many at once, on threads."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Collection, Iterator
from queue import Empty, SimpleQueue

THREADS = 16


class HostLookups:
    """Looks up names beside other work: on threads of its own, since an executor would wait at the end of the process
    for a name service that hangs."""

    def __init__(self, names: Collection[str], seconds: float) -> None:
        self._names = names
        self._seconds = seconds
        self._answers: SimpleQueue[tuple[str, OSError | None]] = SimpleQueue()
        self._end = time.monotonic() + seconds
        waiting = iter(list(names))
        for _ in range(min(THREADS, len(names))):
            threading.Thread(target=self._ask, args=(waiting,), daemon=True).start()

    def _ask(self, waiting: Iterator[str]) -> None:
        for name in waiting:
            failure = None
            try:
                socket.getaddrinfo(name, None)
            except OSError as error:
                failure = error
            self._answers.put((name, failure))

    def answered(self) -> Iterator[tuple[str, OSError | None]]:
        """Names, and why they do not resolve; None where they do. Waits for the answers until the time is over."""
        try:
            for _ in self._names:
                yield self._answers.get(timeout=max(0.0, self._end - time.monotonic()))
        except Empty:
            return

    def unresolved(self) -> Iterator[tuple[str, str]]:
        """Names that do not resolve, and why. The first name without an answer in time stands for the others."""
        unanswered = dict.fromkeys(self._names)
        for name, failure in self.answered():
            del unanswered[name]
            if failure is not None:
                yield name, f"{name} does not resolve here: {failure.strerror or failure}"
        if unanswered:
            name = next(iter(unanswered))
            others = f" and {len(unanswered) - 1} others" if len(unanswered) > 1 else ""
            yield name, f"{name}{others} did not resolve within {self._seconds:g} s"
