"""Events of this process for its subscribers: changes of state, and writes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

logger = logging.getLogger("gateway.control_plane")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `kind` is such as `gateway.status`, `rollout.state`, `environment.wanted`."""

    kind: str
    organization: UUID
    at: datetime
    gateway: UUID | None = None
    environment: UUID | None = None
    details: Mapping[str, Any] = field(default_factory=dict)  # without secrets: alerts and pages show them


Listener = Callable[[Event], None]


class Events:
    """Hands each event to all that listen, in their order, behind the transaction of it."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on, on the loop; it must not wait. The answer ends that."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def publish(self, event: Event) -> None:
        """Notify all subscribers. An exception in one is logged, and does not affect the others."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                logger.exception("a listener failed on %s", event.kind)
