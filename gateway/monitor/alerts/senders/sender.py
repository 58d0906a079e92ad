"""The interface of senders."""

from __future__ import annotations

from typing import Final, Protocol

from gateway.monitor.alerts.notices import Notice

STEP_SECONDS: Final = 10.0  # for each step of a call
CALL_SECONDS: Final = 20.0  # for all of it
RESEND_SECONDS: Final = 60.0  # between two times that an Alertmanager is sent what still fires


class NotSent(Exception):
    """Why a notice was not taken, in words without secrets. `wait`: seconds for which the receiver asks to be left
    alone. `hopeless`: the same notice will never be taken."""

    def __init__(self, reason: str, *, wait: float = 0.0, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.hopeless = hopeless


class Sender(Protocol):
    """One receiver."""

    async def send(self, notice: Notice) -> None:
        """Send it once, within CALL_SECONDS. Raises NotSent."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...
