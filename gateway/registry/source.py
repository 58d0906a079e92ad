"""The interface of a source of endpoints: it delivers all instances of a service, again on each change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.upstream.member import Member


class SourceLost(Exception):
    """The registry does not answer, or answers what cannot be read. The text is for operators: what, where, remedy."""


def one_line(text: str) -> str:
    """A text of a registry, for logs and terminals: without line ends and other control characters."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


@dataclass(frozen=True, slots=True)
class Instances:
    """All instances of one service at one moment."""

    members: Sequence[Member]
    revision: str  # of the source, in its own form; empty where it has none
    happened: float | None = None  # time.perf_counter() when the source's event came; None: when it was asked
    faults: Sequence[str] = ()  # about instances that cannot be used as they are registered, a sentence each


class Sink(Protocol):
    """Takes what a source says. Called on the event loop."""

    def deliver(self, instances: Instances) -> None:
        """These are the instances from now on. To deliver what is known already changes nothing, and is cheap."""
        ...

    def alive(self) -> None:
        """The source has sent something that changes nothing, such as a bookmark."""
        ...

    def failing(self, reason: str) -> None:
        """The source is temporarily unavailable and retries itself: as SourceLost, with its text."""
        ...

    def fault(self, kind: str) -> None:
        """Something was wrong that the source mended itself, such as a watch that had missed an event. Counted."""
        ...


class Source(Protocol):
    """One registry's way to say the instances of one service."""

    @property
    def place(self) -> str:
        """The query and its address, in a few words without secrets: for logs, metrics and the admin API."""
        ...

    async def watch(self, sink: Sink) -> None:
        """Deliver all instances, and again on each change; does not return.

        Raises SourceLost where the registry cannot be asked any more: the caller keeps the last set, says so, and
        calls again after a growing pause. A source that can go on from where it was remembers that itself.
        """
        ...
