"""Whether an endpoint may get requests: one answer, made of what several signals say, with its reason and its time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.algorithms.outlier_detection import OutlierRecord

FOREVER: Final = float("inf")

NOT_CHECKED: Final = "it was not checked yet"
"""Why an endpoint is out that has to pass a check first."""


class Signal(Enum):
    """Signals of the health of an endpoint. If several report it down, the first of this list is shown."""

    SOURCE = "source"  # what the registry says of it
    HEARTBEAT = "heartbeat"  # the instance itself
    PROBE = "probe"  # active health checks
    OUTLIERS = "outliers"  # passive: what became of requests
    FEEDBACK = "feedback"  # a monitor's message
    AGENTS = "agents"  # the same of an agent, which takes back only what agents said


SIGNALS: Final = tuple(Signal)


class Verdict:
    """One signal's verdict on one endpoint. A value."""

    __slots__ = ("reason", "since", "until", "up")

    def __init__(self, *, up: bool, reason: str, since: float, until: float = FOREVER) -> None:
        self.up = up
        self.reason = reason
        self.since = since  # time.perf_counter(), when this signal last changed its mind
        self.until = until  # from then on, it says nothing any more


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of the last health check of an endpoint."""

    at: float  # Unix time, when it ended
    seconds: float
    passed: bool
    result: str
    asked: bool = True  # False: this gateway could not, for want of descriptors, which says nothing of the endpoint
    date: bytes = b""  # the Date of its answer


class Health:
    """All that is said of one endpoint. It belongs to the identity of the endpoint: its service and its address."""

    __slots__ = ("_verdicts", "checked", "record")

    def __init__(self) -> None:
        self._verdicts: dict[Signal, Verdict] = {}
        self.record = OutlierRecord()
        self.checked: Checked | None = None  # None: never

    def report(self, signal: Signal, *, up: bool, reason: str, now: float, until: float = FOREVER) -> bool:
        """A signal speaks. Answers whether it says something else than before."""
        before = self._verdicts.get(signal)
        same = before is not None and before.up == up and now < before.until
        since = before.since if same and before is not None else now
        self._verdicts[signal] = Verdict(up=up, reason=reason, since=since, until=until)
        return not same

    def forget(self, signal: Signal) -> None:
        """A signal says nothing any more."""
        self._verdicts.pop(signal, None)

    def out(self, now: float) -> tuple[Signal, Verdict] | None:
        """Why the endpoint gets no requests; None where it does."""
        if not self._verdicts:
            return None
        for signal in SIGNALS:
            verdict = self._verdicts.get(signal)
            if verdict is not None and not verdict.up and now < verdict.until:
                return signal, verdict
        return None

    def awaits_check(self, now: float) -> bool:
        """Whether it must pass its first check before it gets requests."""
        verdict = self.verdict(Signal.PROBE, now)
        return verdict is not None and not verdict.up and verdict.reason == NOT_CHECKED

    def verdict(self, signal: Signal, now: float) -> Verdict | None:
        """The current verdict of one signal."""
        verdict = self._verdicts.get(signal)
        return verdict if verdict is not None and now < verdict.until else None

    def verdicts(self, now: float) -> dict[Signal, Verdict]:
        """The current verdict of each signal."""
        return {signal: verdict for signal, verdict in self._verdicts.items() if now < verdict.until}

    def changes_at(self, now: float) -> float:
        """The next expiry of a verdict; FOREVER if there is none."""
        return min(
            (each.until for each in self._verdicts.values() if not each.up and each.until > now), default=FOREVER
        )
