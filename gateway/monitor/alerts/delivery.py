"""The queue of one receiver: bounded, with growing pauses, and its failures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Final

from gateway.algorithms.backoff import doubled
from gateway.live import Supervised, Tasks
from gateway.monitor.alerts.notices import Notice, merged
from gateway.monitor.alerts.senders.sender import NotSent, Sender
from gateway.monitor.alerts.wording import length
from gateway.outside.throttled_log import ThrottledLog
from gateway.plurals import counted

logger = logging.getLogger("gateway.alerts")

MOST: Final = 100  # notices that wait; a later one of the same group takes the place of the former
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
LONGEST_WAIT: Final = 3600.0  # that a receiver may ask for
STALE_SECONDS: Final = 24 * 3600.0  # after which a notice is not sent any more
LOG_SECONDS: Final = 60.0
END_SECONDS: Final = 3.0  # at the end of the process, for what still waits


class Delivery:
    """One receiver and its queue. Nothing waits for it."""

    def __init__(
        self, name: str, kind: str, sender: Sender, tasks: Tasks, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.kind = kind
        self.sent = 0
        self.failures = 0
        self.dropped = 0
        self.delivered: Callable[[], None] = lambda: None  # is called when one was taken
        self.failure = ""  # of the last try; empty where it was taken
        self._sender = sender
        self._clock = clock
        self._queue: dict[Hashable, tuple[float, Notice]] = {}
        self._under_way: Notice | None = None  # it may be taken already, while that is not known yet
        self._wanted = asyncio.Event()
        self._nothing_left = asyncio.Event()  # nothing that can be sent now
        self._in_a_row = 0
        self._failing_since = 0.0
        self._log = ThrottledLog(logger.warning, LOG_SECONDS)
        self._work: Supervised = tasks.supervise(f"the sending of alerts to {name}", self._send_all)

    @property
    def waiting(self) -> int:
        """Notices that are not sent yet."""
        return len(self._queue)

    def undelivered(self) -> set[Hashable]:
        """The groups of what waits."""
        return set(self._queue)

    def offer(self, group: Hashable, notice: Notice) -> None:
        """Queue it, merged with a waiting one of this group. The oldest is dropped if the queue is full."""
        since, former = self._queue.pop(group, (self._clock(), None))
        joins = former is not None and former is not self._under_way
        self._queue[group] = since, merged(former, notice) if former is not None and joins else notice
        while len(self._queue) > MOST:
            del self._queue[next(iter(self._queue))]
            self.dropped += 1
        self._wanted.set()

    async def test(self, notice: Notice) -> None:
        """Send one now, past the queue. Raises NotSent."""
        await self._sender.send(notice)

    def succeed(self, former: Delivery) -> None:
        """Send what waits in the one that this takes the place of, and go on counting."""
        self._queue = former._queue | self._queue
        self.sent, self.failures, self.dropped = former.sent, former.failures, former.dropped
        self._wanted.set()

    def troubles(self) -> Iterator[str]:
        """See `Troubled`."""
        if self.failure:
            since = length(max(1.0, self._clock() - self._failing_since))
            waiting = f"{counted(self.waiting, 'notice')} waiting"
            remedy = f"correct alerts.send.{self.name}, or its receiver; gateway alerts test {self.name} tries it"
            yield f"alerts do not reach {self.name} ({self.kind}) for {since}: {self.failure}; {waiting}; {remedy}"

    async def stop(self, *, patience: float = 0.0) -> None:
        """End; with `patience`, after what waits, as long as that is taken at once."""
        if patience and self._queue and not self.failure:
            self._nothing_left.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._nothing_left.wait()
        self._work.cancel()
        await self._work.finish()
        await self._sender.close()

    # The work.

    async def _send_all(self) -> None:
        while True:
            self._wanted.clear()
            while self._queue:
                await self._send_first()
            self._nothing_left.set()
            await self._wanted.wait()

    async def _send_first(self) -> None:
        group, (since, notice) = next(iter(self._queue.items()))
        if self._clock() - since > STALE_SECONDS:
            self._drop(group, notice)
            return
        self._under_way = notice
        try:
            await self._sender.send(notice)
        except NotSent as error:
            self._under_way = None
            self.failures += 1
            self._in_a_row += 1
            if not self.failure:
                self._failing_since = self._clock()
            self.failure = str(error)
            self._nothing_left.set()
            self._log.line("alerts do not reach %s (%s): %s", self.name, self.kind, error)
            if error.hopeless:
                self._drop(group, notice)
            elif group in self._queue and self._queue[group][1] is not notice:
                self._queue[group] = since, merged(notice, self._queue[group][1])
            wait = error.wait
            pause = doubled(FIRST_PAUSE, self._in_a_row, LONGEST_PAUSE) * random.uniform(0.5, 1.0)
            await asyncio.sleep(max(pause, min(wait, LONGEST_WAIT)))
        except Exception:  # a notice that cannot be worded must not keep others waiting
            logger.exception("a notice for %s could not be sent", self.name)
            self._drop(group, notice)
        else:
            if self.failure:
                self._log.always("alerts reach %s (%s) again", self.name, self.kind)
            self._in_a_row = 0
            self.failure = ""
            self._drop(group, notice, sent=True)
            self.delivered()

    def _drop(self, group: Hashable, notice: Notice, *, sent: bool = False) -> None:
        """Remove it from the queue, unless it was replaced meanwhile."""
        self.sent += sent
        self.dropped += not sent
        waiting = self._queue.get(group)
        if waiting is not None and waiting[1] is notice:
            del self._queue[group]
