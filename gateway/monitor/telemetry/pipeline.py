"""The queue of data for a collector, and the thread that sends it.

Nothing waits for the collector: what finds no room is dropped, what it does not take is lost, and both are counted.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from gateway.monitor.telemetry.settings import Batching, Destination
from gateway.outside.throttled_log import ThrottledLog
from gateway.plurals import counted

logger = logging.getLogger("gateway.telemetry")

STOP_SECONDS: Final = 3.0  # for what is left, when the process ends
RETIRED_SECONDS: Final = 30.0  # that requests of a former configuration have to end
QUIET_SECONDS: Final = 60.0  # between two lines about what fails
LONGEST_PAUSE: Final = 60.0  # after a failure, doubled from the delay of the batches on
LONGEST_ASKED: Final = 300.0  # that a collector can ask for
REPORTED_SECONDS: Final = 300.0  # for which /health reports a failure that nothing followed
MOST_TOGETHER: Final = 1024**2  # bytes of records that are sent together, beyond the last
SLOW: Final = 1.5  # times its time limit, after which an export hangs

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class Verdict(NamedTuple):
    """The result of sending records."""

    lost: int = 0
    why: str = ""
    pause: float = 0.0  # seconds for which the collector asks to be left alone


class Sender(Protocol[R_contra]):
    """Sends records; called on the pipeline's thread only."""

    def send(self, records: Sequence[R_contra]) -> Verdict:
        """Send them. May raise anything."""
        ...

    def close(self) -> None:
        """Give up what is being sent, from another thread."""
        ...


class Pipeline(Generic[R]):
    """The queue of one signal. `thing`: what one record is, such as `span`; `make`: what sends them. It is made on the
    thread, and may raise anything."""

    def __init__(self, destination: Destination, thing: str, batching: Batching, make: Callable[[], Sender[R]]) -> None:
        self.signal = destination.signal
        self.where = destination.where
        self.sent = 0
        self.dropped = 0  # they found no room
        self.lost = 0  # they could not be sent
        self._thing = thing
        self._batching = batching
        self._make = make
        self._sender: Sender[R] | None = None
        self._timeout = destination.timeout
        self._queue: deque[tuple[R, int]] = deque()
        self._full = max(1, min(MOST_TOGETHER, batching.most_bytes // 2))  # bytes that do not wait for more
        self._put = 0  # bytes, which only the loop counts
        self._taken = 0  # the same, which only the thread counts
        self._wanted = threading.Event()
        self._ends_at = float("inf")  # time.monotonic()
        self._failure = ""  # why nothing is sent now
        self._failed_at = float("-inf")
        self._failures = 0  # in a row
        self._paused_until = float("-inf")
        self._lost_before = 0  # dropped and lost, before that
        self._since = float("inf")  # when what is being sent now was begun
        self._said = ThrottledLog(logger.warning, QUIET_SECONDS)
        self._ended: asyncio.Future[None] | None = None

    def put(self, record: R, size: int) -> None:
        """Take a record of this many bytes, on the loop."""
        batching, queue = self._batching, self._queue
        before = self._put - self._taken
        after = before + size
        if len(queue) >= batching.most or after > batching.most_bytes or self._is_over:
            self.dropped += 1
            return
        self._put += size
        queue.append((record, size))
        if len(queue) == batching.batch or before < self._full <= after:
            self._wanted.set()

    @property
    def waiting(self) -> tuple[int, int]:
        """(records, bytes)"""
        return len(self._queue), self._put - self._taken

    async def start(self) -> None:
        """Begin to send. See `Startable`."""
        self._ended = asyncio.get_running_loop().create_future()
        working = threading.Thread(
            target=self._work,
            args=(asyncio.get_running_loop(), self._ended),
            name=f"telemetry-{self.signal}",
            daemon=True,
        )
        working.start()

    async def stop(self) -> None:
        """Send what is left, for at most a few seconds. See `Stoppable`."""
        self._end_in(0.0)
        if self._ended is not None:
            await asyncio.wait([self._ended], timeout=STOP_SECONDS)
            if not self._ended.done() and self._sender is not None:
                self._sender.close()
        left = len(self._queue)
        if left:
            self.dropped += left
            logger.warning("%s left that could not be sent to %s", counted(left, self._thing), self.where)

    def retire(self) -> None:
        """Send what requests of the former configuration still bring, and end. See `Retiring`."""
        self._end_in(RETIRED_SECONDS)

    def troubles(self) -> Iterator[str]:
        """See `Troubled`."""
        gone, now = counted(self.dropped + self.lost - self._lost_before, self._thing), time.monotonic()
        if self._failure and (self._queue or now - self._failed_at < REPORTED_SECONDS):
            yield f"{self.where} takes no {self.signal}: {self._failure}; {gone} lost; look at the collector"
        elif now - self._since > self._timeout * SLOW:
            yield f"{self.where} does not answer; {gone} lost of {self.signal}; look at the collector"

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        return {
            "gateway_telemetry_sent_total": self.sent,
            "gateway_telemetry_lost_total": self.dropped + self.lost,
        }

    @property
    def _is_over(self) -> bool:
        return self._ends_at != float("inf") and time.monotonic() >= self._ends_at

    def _end_in(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds
        self._wanted.set()

    # On the thread.

    def _work(self, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
        try:
            sender = self._sender = self._opened()
            if sender is not None:
                self._run(sender)
        except BaseException:  # it must not end without a word
            logger.exception("no %s are sent any more, until the configuration changes", self.signal)
            self._failed("its thread has ended; see the log", 0.0)
        finally:
            if self._sender is not None:
                self._sender.close()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_done, ended)

    def _opened(self) -> Sender[R] | None:
        try:
            return self._make()
        except Exception as error:
            self._failed(f"{type(error).__name__}: {error}", 0.0)
            logger.exception("no %s can be sent to %s", self.signal, self.where)
            return None

    def _run(self, sender: Sender[R]) -> None:
        while True:
            over = self._is_over
            left = self._ends_at - time.monotonic()
            early = False  # what is less than a batch goes on waiting: each costs the same, however few are in it
            if not over:
                early = self._wanted.wait(min(self._batching.delay, left)) and self._ends_at == float("inf")
                self._wanted.clear()
            while self._is_due(early=early) and (over or time.monotonic() >= self._paused_until):
                records = self._taken_together()
                self._since = time.monotonic()
                try:
                    lost, failure, pause = sender.send(records)
                except Exception as error:
                    lost, failure, pause = len(records), f"{type(error).__name__}: {error}", 0.0
                self._since = float("inf")
                self.lost += lost
                self.sent += len(records) - lost
                if failure:
                    self._failed(failure, pause)
                    self._said.line("%s takes no %s: %s", self.where, self.signal, failure)
                else:
                    self._worked()
            if over:
                return

    def _is_due(self, *, early: bool) -> bool:
        waiting, size = self.waiting
        return waiting >= self._batching.batch or size >= self._full if early else waiting > 0

    def _taken_together(self) -> list[R]:
        records: list[R] = []
        ends = self._taken + MOST_TOGETHER
        while self._queue and len(records) < self._batching.batch and self._taken < ends:
            record, size = self._queue.popleft()
            records.append(record)
            self._taken += size
        return records

    def _failed(self, why: str, pause: float) -> None:
        """Leave the collector alone for a while; what comes meanwhile waits."""
        self._failure, self._failed_at = why, time.monotonic()
        pause = min(pause, LONGEST_ASKED) or min(self._batching.delay * 2.0**self._failures, LONGEST_PAUSE)
        self._failures = min(self._failures + 1, 20)
        self._paused_until = self._failed_at + pause

    def _worked(self) -> None:
        gone = self.dropped + self.lost - self._lost_before
        if self._failure:
            self._said.always("%s takes %s again: %s lost", self.where, self.signal, counted(gone, self._thing))
        elif gone:
            self._said.line(
                "%s had no room on the way to %s; raise telemetry.queue", counted(gone, self._thing), self.where
            )
        self._failure, self._failures, self._lost_before = "", 0, self._lost_before + gone


def _done(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
