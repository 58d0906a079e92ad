"""Whether the state directory can be written, which nothing else may need for days."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from gateway.live.tasks import Tasks

SERVICE = ("state_directory",)
"""The one identity under which it lives."""
LOOK_SECONDS = 10.0
TRIED_BYTES = 4096  # which a full disk does not take


class StateDirectory:
    """Tries it again and again, on a thread. It is not made here: it is there once something is kept in it."""

    def __init__(self) -> None:
        self.tasks = Tasks()
        self._path: Path | None = None
        self._failure = ""
        self._changed = asyncio.Event()
        self.tasks.supervise("the watch over the state directory", self._watch)

    def go_on_in(self, path: Path) -> None:
        """This is the one of the configuration."""
        if path != self._path:
            self._path = path
            self._changed.set()

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self._failure:
            yield (
                f"the state directory {self._path} cannot be written: {self._failure}; blocks, counts and "
                f"registrations are lost with a restart; make it writable, make room, or {self._another()}"
            )

    def _another(self) -> str:
        """Units, images and manifests name the directory that they have made for it in GATEWAY_STATE."""
        prepared = os.environ.get("GATEWAY_STATE")
        if prepared and self._path is not None and self._path != Path(prepared):
            return f"write state_directory: ${{GATEWAY_STATE:-state}}, which is {prepared}"
        return "name another one in state_directory"

    def measures(self) -> dict[str, float]:
        """See `Measured`."""
        return {"gateway_state_directory_up": float(not self._failure)}

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            if self._path is not None:
                self._failure = await asyncio.to_thread(_why_not_writable, self._path)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue


def _why_not_writable(directory: Path) -> str:
    try:
        if os.path.lexists(directory):
            # Raises OSError.
            file = directory / f".try-{secrets.token_hex(8)}"
            try:
                file.write_bytes(bytes(TRIED_BYTES))
            finally:
                file.unlink(missing_ok=True)
        else:
            there = next(parent for parent in directory.parents if os.path.lexists(parent))
            if not os.access(there, os.W_OK | os.X_OK):
                return f"it is not there, and {there} does not let the gateway make it"
    except OSError as error:
        return error.strerror or str(error)
    return ""
