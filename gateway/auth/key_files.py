"""API keys in files, such as mounted secrets: read with the configuration, and again when they change."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.config.named_files import RACY_SECONDS
from gateway.config.regular_files import read_regular, to_mend
from gateway.live import Tasks
from gateway.plurals import counted

logger = logging.getLogger("gateway.auth")

POLL_SECONDS = 5.0
SHORTEST_KEY = 24  # characters; those of `gateway keys new` have 46
LARGEST_FILE = 16 * 1024**2  # bytes

_State = tuple[int, ...]

_HASH: Final = r"sha256:([0-9a-f]{64})"


class KeyFileError(Exception):
    """A file cannot be used; the text says which, and why, and repeats nothing of what is in it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"the key file {path} cannot be used: {reason}")
        self.path = path


class KeyFiles:
    """A service that knows the keys in some files. A file that becomes unreadable keeps the keys that it had."""

    def __init__(self, paths: Iterable[Path], poll_seconds: float = POLL_SECONDS) -> None:
        self._paths = tuple(sorted(paths))
        self._poll_seconds = poll_seconds
        self._contents: dict[Path, bytes] = {}
        self._states: dict[Path, _State] = {}  # of those that were read, and need not be again
        self._failing: dict[Path, KeyFileError] = {}
        self.tasks = Tasks()
        self.found: Mapping[bytes, Path] = {}
        """SHA-256 of each key, and the file that it is in."""

    async def start(self) -> None:
        """Begin to look at the files."""
        if self._paths:
            self.tasks.supervise("the watch over the files of API keys", self._watch)

    async def stop(self) -> None:
        """Look no more."""
        self.tasks.cancel()

    def read(self) -> list[KeyFileError]:
        """Look at all files now, and answer with those that cannot be used. Blocks."""
        contents = dict(self._contents)
        errors = []
        known, self._states = self._states, {}
        for path in self._paths:
            state = _state_of(path)
            if state is not None and known.get(path) == state:
                self._states[path] = state
                continue
            try:
                data = _read(path)
                digests_of(path, data)
                contents[path] = data
                if state is not None:
                    self._states[path] = state
            except KeyFileError as error:
                errors.append(error)
        if contents != self._contents:
            self._contents = contents
            self.found = {digest: path for path, data in contents.items() for digest in digests_of(path, data)}
        return errors

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        return (f"{error}; the keys that it had still hold" for error in self._failing.values())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            before = self.found
            errors = await asyncio.to_thread(self.read)
            if self.found is not before:
                logger.info("API keys were read again from their files: %s", counted(len(self.found), "key"))
            for error in errors:
                if error.path not in self._failing:
                    logger.error("%s; the keys that it had still hold", error)
            self._failing = {error.path: error for error in errors}


def _state_of(path: Path) -> _State | None:
    """What is another once something has been written. None: not even that would be certain to show."""
    now = time.time()
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if now - max(status.st_mtime, status.st_ctime) <= RACY_SECONDS:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, LARGEST_FILE)
    except OSError as error:
        raise KeyFileError(path, f"{error.strerror or 'it cannot be read'}; {to_mend(error)}") from None
    except ValueError as error:
        raise KeyFileError(path, str(error)) from None


def digests_of(path: Path, data: bytes) -> list[bytes]:
    """The SHA-256 of every key in a file: one on each line, or its hash."""
    try:
        lines = [line.strip() for line in data.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise KeyFileError(path, "it is not UTF-8") from None
    if not lines:
        raise KeyFileError(path, "it is empty; write a key into it, or its hash") from None
    digests = []
    for line in lines:
        match = re.fullmatch(_HASH, line, re.ASCII)
        if match is None and len(line) < SHORTEST_KEY:
            reason = f"a key has less than {SHORTEST_KEY} characters and can be guessed; `gateway keys new` makes one"
            raise KeyFileError(path, reason)
        digests.append(bytes.fromhex(match[1]) if match else sha256(line.encode()).digest())
    return digests
