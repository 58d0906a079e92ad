"""Calls that are tried again: `retryPolicy`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway.control_plane.adapters.outbound import CallFailed
from gateway.control_plane.settings.adapter import RetryPolicy

T = TypeVar("T")

FIRST: Final = 0.5  # seconds, of the first pause


@dataclass(frozen=True, slots=True)
class Retrying:
    """How often a call is tried, and how long the pauses are."""

    policy: RetryPolicy
    first: float = FIRST

    async def safely(self, call: Callable[[], Awaitable[T]]) -> T:
        """Retry idempotent calls. Raises CallFailed of the last attempt."""

        async def nothing() -> None:
            return None

        return await self.created(call, nothing)

    async def created(self, call: Callable[[], Awaitable[T]], find: Callable[[], Awaitable[T | None]]) -> T:
        """For calls that make something, which must not be made twice: where it may be there in spite of a failure,
        `find` says whether it is before it is asked for again. Raises CallFailed of the last attempt."""
        for attempt in range(1, self.policy.max_attempts + 1):
            try:
                return await call()
            except CallFailed as error:
                if error.reason == "conflict" or (error.again and error.perhaps_done):
                    found = await find()
                    if found is not None:
                        return found
                if attempt == self.policy.max_attempts or not error.again or error.wait > self.policy.max_backoff:
                    raise
                await asyncio.sleep(max(error.wait, self.pause(attempt, random.random())))
        raise AssertionError("a policy has at least one attempt")

    def pause(self, attempt: int, draw: float) -> float:
        """Seconds after the `attempt`-th attempt (from 1); `draw`, from [0, 1), takes up to a half of it."""
        whole = min(self.first * self.policy.backoff_multiplier ** (attempt - 1), self.policy.max_backoff)
        return whole * (1 - draw / 2)
