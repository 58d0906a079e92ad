"""One reload: the files are read as one, compiled beside the request path, and swapped in by one assignment.

A bad file changes nothing: the last good Snapshot keeps serving, and the log and `/health` say what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.build import Snapshot, State, activate, build
from gateway.config import watch
from gateway.config.load import parse
from gateway.config.problems import ConfigError

logger = logging.getLogger("gateway.config")

PROBLEMS_SHOWN = 20


class Reloader:
    """Holds the current Snapshot and replaces it when the files change, or when it is told to."""

    def __init__(self, directory: Path, environment: Mapping[str, str], state: State) -> None:
        self.directory = directory
        self.current: Snapshot | None = None
        self.state = state
        self._environment = environment
        self._settling = watch.Settling()
        self._error: ConfigError | None = None
        self._loaded_at: float | None = None
        self._reloads = 0
        self._told = asyncio.Event()
        self._callers: list[asyncio.Future[ConfigError | None]] = []
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the files, good or bad, and begin to watch them."""
        # The lease that tells whether a file is being written is broken with SIGIO, which would end the process.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        await self._apply(await asyncio.to_thread(watch.read, self.directory))
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching, and close what is idle."""
        if self._watcher is not None:
            self._watcher.cancel()
        for endpoint in self.state.endpoints:
            endpoint.retire()
        for application in self.state.applications:
            await application.stop()

    def reload(self) -> asyncio.Future[ConfigError | None]:
        """Read the files again, changed or not, once nobody is writing them. Answers with what is wrong, or None."""
        caller: asyncio.Future[ConfigError | None] = asyncio.get_running_loop().create_future()
        self._callers.append(caller)
        self._told.set()
        return caller

    def report(self) -> dict[str, Any]:
        """What `/health` says of the configuration."""
        problems = [str(problem) for problem in self._error.problems] if self._error else []
        return {
            "digest": self.current.digest if self.current else None,
            "loaded_at": self._loaded_at,
            "reloads": self._reloads,
            "errors": problems[:PROBLEMS_SHOWN],
        }

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            told = await self._wait()
            try:
                contents, written = await asyncio.to_thread(self._look)
                if told and not written:
                    await self._apply(contents)
                    self._answer()
                elif self._settling.settled(contents, loop.time(), written=written):
                    await self._apply(contents)
                if told and written:
                    await asyncio.sleep(watch.POLL_SECONDS)
                    self._told.set()  # again, when the writer may be done
            except Exception:
                logger.exception("the configuration could not be looked at; trying again")

    async def _wait(self) -> bool:
        """Until it is time to look, or somebody tells to; which of the two."""
        try:
            async with asyncio.timeout(watch.POLL_SECONDS):
                await self._told.wait()
        except TimeoutError:
            return False
        self._told.clear()
        return True

    def _look(self) -> tuple[watch.Contents, bool]:
        written = watch.being_written(self.directory)
        return watch.read(self.directory), written or watch.being_written(self.directory)

    def _answer(self) -> None:
        callers, self._callers = self._callers, []
        for caller in callers:
            if not caller.done():
                caller.set_result(self._error)

    async def _apply(self, contents: watch.Contents) -> None:
        """Make these contents the current configuration, or keep the last good one and say why."""
        self._settling.applied(contents)
        try:
            snapshot = await asyncio.to_thread(self._compile, contents)
        except ConfigError as error:
            self._refused(error)
            return
        for endpoint in activate(snapshot, self.state):
            endpoint.retire()
        first = self.current is None
        self.current = snapshot
        self._error = None
        self._loaded_at = time.time()
        self._reloads += not first
        count = len(snapshot.handlers)
        logger.info("configuration %s %s: %d routes", snapshot.digest, "loaded" if first else "reloaded", count)

    def _compile(self, contents: watch.Contents) -> Snapshot:
        if isinstance(contents, ConfigError):
            raise contents
        configuration = parse(contents, self._environment, base=self.directory)
        return build(configuration, self.state, base=self.directory)

    def _refused(self, error: ConfigError) -> None:
        self._error = error
        kept = f"keeping {self.current.digest}" if self.current else "nothing is served until it is corrected"
        logger.error("configuration refused, %s:", kept)
        for problem in error.problems[:PROBLEMS_SHOWN]:
            logger.error("  %s", problem)
        if len(error.problems) > PROBLEMS_SHOWN:
            logger.error("  ... and %d more (gateway check lists all)", len(error.problems) - PROBLEMS_SHOWN)
