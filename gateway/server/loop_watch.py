"""A thread that notices when the event loop does not turn, and says what keeps it.

Code that blocks, such as a policy that sleeps, stops every request there is. That cannot be prevented in one process,
but the log can say which line of which file it was, and a signal can still end the process. While all is well it costs
four wake-ups a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import Final

from gateway.custom_code import is_library

LOOK_SECONDS: Final = 0.25
STALL_SECONDS: Final = 1.0  # without a turn, from which on it is reported
TROUBLE_SECONDS: Final = 60.0  # for which /health reports it
QUIET_SECONDS: Final = 10.0  # between two reports
FRAMES: Final = 12  # callers that a report names

logger = logging.getLogger("gateway.loop")


class LoopWatch:
    """Watches the loop that it is started on."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._thread_id = 0
        self._ended = threading.Event()
        self._turned = 0.0  # time.monotonic() of the last turn
        self._timer: asyncio.TimerHandle | None = None
        self._reported = float("-inf")
        self._stalls = 0
        self._stalled_seconds = 0.0
        self._place = ""  # what kept it the last time
        self._end_at: float | None = None  # time.monotonic() of the end, whatever the loop does

    def start(self) -> None:
        """Begin to watch."""
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._turned = time.monotonic()
        self._tick()
        threading.Thread(target=self._watch, name="loop-watch", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()

    def end_within(self, seconds: float) -> None:
        """A signal came that ends the process: it does so in this time, also where the loop never turns again.

        A second one ends it at once. It is called between two instructions of whatever runs, so it takes no lock.
        """
        if self._end_at is not None:
            os.write(2, b"a second signal: ending at once\n")
            os._exit(1)
        self._end_at = time.monotonic() + seconds

    def measures(self) -> dict[str, float]:
        """How often, and for how long altogether, the loop did not turn for over STALL_SECONDS."""
        return {
            "gateway_loop_stalls_total": self._stalls,
            "gateway_loop_stalled_seconds_total": self._stalled_seconds,
        }

    def troubles(self) -> Iterable[str]:
        """The code that blocked the loop a short time ago."""
        seconds = time.monotonic() - self._reported
        if seconds < TROUBLE_SECONDS:
            remedy = "have it await, or use a thread; the log has the callers"
            yield f"{self._place} kept everything waiting {seconds:.0f} s ago; {remedy}"

    def _tick(self) -> None:
        """On the loop: it turns."""
        now = time.monotonic()
        late = now - self._turned - LOOK_SECONDS
        if late >= STALL_SECONDS:
            self._stalls += 1
            self._stalled_seconds += late
        self._turned = now
        self._timer = self._loop.call_later(LOOK_SECONDS, self._tick)

    def _watch(self) -> None:
        """On the thread. Looks are counted, not the clock: where the whole process stood still, so did this."""
        looks, seen = 0, self._turned
        while not self._ended.wait(LOOK_SECONDS):
            looks, seen = (looks + 1 if seen == self._turned else 0), self._turned
            now = time.monotonic()
            if self._end_at is not None and now > self._end_at:
                os._exit(0)
            if looks * LOOK_SECONDS > STALL_SECONDS and now - self._reported >= QUIET_SECONDS:
                seconds = now - seen
                frame = sys._current_frames().get(self._thread_id)
                if frame is not None:
                    place, callers = _places(frame)
                    self._place = place
                    logger.error(
                        "nothing was served for %.1f s: %s keeps the event loop, called from %s",
                        seconds,
                        place,
                        callers,
                    )
                self._reported = now


class LoopTroubles:
    """The watch's part of /health, which is not bound to the life of live objects."""

    def __init__(self, watch: LoopWatch) -> None:
        self.troubles = watch.troubles


def _places(frame: FrameType) -> tuple[str, str]:
    """The deepest place outside of libraries, or else the deepest of all; and the places that lead to it, deepest
    first."""
    frames: list[FrameType] = []
    walked: FrameType | None = frame
    while walked is not None:
        frames.append(walked)
        walked = walked.f_back
    named = [f"{each.f_code.co_filename}:{each.f_lineno} ({each.f_code.co_name})" for each in frames]
    custom = [place for place, each in zip(named, frames, strict=True) if not is_library(each.f_code.co_filename)]
    return (custom or named)[0], ", ".join(named[:FRAMES])
