"""The way to Redis: bounded in time, in connections and in what it may break.

A call that is not answered in time, or fails, is answered with None, and the caller goes on without Redis. After
`FAILURES` of them in a row nobody is let near it any more (`available` is False), so that a dead Redis costs requests
nothing; a task of its own tries every `PROBE_SECONDS` whether it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Sequence
from typing import Any

from gateway.limits.scripts import BEAT, Script

logger = logging.getLogger("gateway.limits")

CONNECTIONS = 32
FAILURES = 3  # in a row, until it counts as down
PROBE_SECONDS = 0.25  # between two attempts while it is down
BEAT_SECONDS = 1.0  # between two signs of life
LIFE_SECONDS = 5  # without a sign of life, until a replica does not count any more
LOG_SECONDS = 10.0  # between two lines of the same kind

PREFIX = "gateway:"
REPLICAS = PREFIX + "replicas"
Arguments = Sequence[str | int]


class RedisLink:
    """One Redis, for all limits that are counted there. `timeout` is in seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        self.timeout = timeout
        self.available = False
        self.replicas = 1
        # What metrics may tell.
        self.calls = 0
        self.failures = 0
        self.outages = 0
        self._url = url
        self._unknown_script: type[Exception] = Exception
        self._client: Any = None  # redis.asyncio.Redis, which is not typed throughout
        self._in_a_row = 0
        self._down_since = 0.0
        self._logged = float("-inf")
        self._replica = uuid.uuid4().hex
        self._heart: asyncio.Task[None] | None = None
        self._users = 0

    async def start(self) -> None:
        """Begin to try. Whether Redis is there shows within a few milliseconds; nobody waits for it.

        Whoever uses the link starts and stops it, too, so that it is there as long as the last of them.
        """
        self._users += 1
        if self._users > 1:
            return
        # Six megabytes that only those need who have a Redis.
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import NoScriptError  # noqa: PLC0415

        self._unknown_script = NoScriptError
        pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=CONNECTIONS,
            timeout=None,  # the time limit is that of the whole call
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        self._client = Redis(connection_pool=pool)
        self.available = True
        self._heart = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Say goodbye, and close all connections, when nobody uses them any more."""
        self._users -= 1
        if self._users:
            return
        self.available = False
        if self._heart is not None:
            self._heart.cancel()
        if self._client is not None:
            with contextlib.suppress(Exception):  # it may be down, or be going down
                async with asyncio.timeout(1):
                    await self._client.zrem(REPLICAS, self._replica)
            await self._client.connection_pool.disconnect()

    def measures(self) -> dict[str, float]:
        """Calls, those that failed, and how often it went down; 1 while it is up."""
        return {
            "gateway_redis_up": float(self.available),
            "gateway_redis_calls_total": self.calls,
            "gateway_redis_failures_total": self.failures,
            "gateway_redis_outages_total": self.outages,
        }

    @property
    def answers(self) -> bool:
        """Whether it did the last time."""
        return self.available and not self._in_a_row

    def deadline(self) -> float:
        """By when (loop time) a call that begins now must be answered."""
        return asyncio.get_running_loop().time() + self.timeout

    async def call(self, script: Script, keys: Sequence[str], arguments: Arguments, deadline: float) -> Any:
        """What the script answers; None when it does not by this loop time. Never raises."""
        if not self.available or asyncio.get_running_loop().time() >= deadline:
            return None
        return await self._call(script, keys, arguments, deadline)

    async def _call(self, script: Script, keys: Sequence[str], arguments: Arguments, deadline: float) -> Any:
        self.calls += 1
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._evaluate(script, keys, arguments)
        except Exception as error:  # whatever it is: no request and no task here may end by it
            self._failed(error)
            return None
        self._succeeded()
        return answer

    async def _evaluate(self, script: Script, keys: Sequence[str], arguments: Arguments) -> Any:
        try:
            return await self._client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except self._unknown_script:
            return await self._client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._in_a_row += 1
        reason = f"no answer within {self.timeout * 1000:g} ms" if isinstance(error, TimeoutError) else str(error)
        if self._in_a_row >= FAILURES and self.available:
            self.available = False
            self.outages += 1
            self._down_since = time.monotonic()
            self._log("Redis is down, limits go on as their on_failure says: %s", reason, always=True)
        elif self.available:
            self._log("Redis failed: %s", reason)

    def _succeeded(self) -> None:
        self._in_a_row = 0
        if not self.available:
            self.available = True
            self._log("Redis is back after %.1f s", time.monotonic() - self._down_since, always=True)

    def _log(self, text: str, detail: object, *, always: bool = False) -> None:
        """At most one line in LOG_SECONDS, so that an outage floods no log; its begin and end are always told."""
        now = time.monotonic()
        if always or now - self._logged >= LOG_SECONDS:
            self._logged = now
            logger.warning(text, detail)

    async def _beat(self) -> None:
        """Say that this replica lives, and find out whether Redis does."""
        known = False
        while True:
            answer = await self._call(BEAT, [REPLICAS], [self._replica, LIFE_SECONDS], self.deadline())
            if answer is not None:
                self.replicas = int(answer[0])
                # Redis forgot who was there a moment ago: it was restarted too fast to be missed, or emptied.
                self.outages += bool(answer[1]) and known
                known = True
            await asyncio.sleep(BEAT_SECONDS if self.answers else PROBE_SECONDS)
