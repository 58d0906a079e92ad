"""Startup before the first request, shutdown at the end; neither where the application knows of no lifespan."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from gateway.custom_code import described, is_failure
from gateway.errors import ErrorKind, GatewayError
from gateway.http.bodies import Message
from gateway.upstream.asgi.messages import AsgiCallable

logger = logging.getLogger("gateway.asgi")

STOP_SECONDS = 5.0  # for the shutdown


class Lifespan:
    """A lifespan of one application, which begins `after` its former one."""

    def __init__(self, name: str, app: AsgiCallable, after: asyncio.Event | None = None) -> None:
        self.state: dict[str, Any] = {}
        self.over = asyncio.Event()
        self._after = after
        self._name = name
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._stopping = asyncio.Event()
        self._asked = False  # whether the application took the startup message
        self._failure: str | None = None

    async def start(self, seconds: float) -> None:
        """Run the startup, once; callers that come meanwhile wait for it. Raises GatewayError where it failed, or still
        runs after `seconds`."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        if not self._started.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._started.wait()
            except TimeoutError:
                detail = f"{self._name} has not completed its startup within {seconds:.3g} s"
                raise GatewayError(ErrorKind.UPSTREAM_TIMEOUT, detail) from None
        if self._failure is not None:
            raise GatewayError(ErrorKind.UPSTREAM_UNAVAILABLE, f"{self._name} failed to start: {self._failure}")

    async def stop(self) -> None:
        """Run the shutdown, if there was a startup."""
        if self._after is not None:
            await self._after.wait()
        if self._task is not None:
            self._stopping.set()
            await asyncio.wait([self._task], timeout=STOP_SECONDS)
            self._task.cancel()
        self.over.set()

    async def _run(self) -> None:
        if self._after is not None:
            await self._after.wait()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except BaseException as error:
            if is_failure(error) and self._failure is None:
                self._failed(error)
        finally:
            self._started.set()

    def _failed(self, error: BaseException) -> None:
        """An application that knows of no lifespan may raise an Exception, and is served without."""
        if not self._started.is_set() and not isinstance(error, Exception):
            self._failure = "it ended itself; see the gateway's log"
            logger.error("%s failed to start: %s", self._name, described(error))
        elif self._asked:
            logger.warning("the lifespan of %s ended with %s", self._name, described(error))

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            self._failure = message.get("message") or "it does not say why"
            logger.error("%s failed to start: %s", self._name, self._failure)
        self._started.set()
