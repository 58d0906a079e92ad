"""Errors between a gateway and its control plane."""

from __future__ import annotations


class CallError(Exception):
    """The control plane did not answer, or not as it should. `status`: of its answer, if there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NoWebSocketError(CallError):
    """It may be there, but not by a WebSocket."""
