"""Instances in a file of YAML or JSON, which is read again when it changes."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

import yaml

from gateway.config.regular_files import read_regular
from gateway.live import Worker
from gateway.registry.instances import parse_instance
from gateway.registry.source import Instances, Sink, SourceLost
from gateway.upstream.endpoint import Member

LOOK_SECONDS: Final = 0.25  # between two looks at the file
MAX_BYTES: Final = 4 * 1024**2
READ_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class FileSource:
    """A list of instances, or a mapping with such a list under `instances`."""

    path: Path

    @property
    def place(self) -> str:
        """The file."""
        return f"file {self.path.name}"

    async def watch(self, sink: Sink) -> None:
        """See `Source`. A file that is written in several steps is read when it stayed the same for one look."""
        with closing(Worker("file-source")) as worker:
            known = before = ""
            while True:
                happened = time.perf_counter()
                revision, data = await self._read(worker)
                if revision == known:
                    sink.alive()
                elif revision == before or not known:
                    members = await worker.run(partial(self._members, data), READ_SECONDS)
                    known = revision
                    sink.deliver(Instances(members, revision, happened))
                before = revision
                await asyncio.sleep(LOOK_SECONDS)

    async def _read(self, worker: Worker) -> tuple[str, bytes]:
        """The revision of the contents, and these. Raises SourceLost."""

        def read() -> tuple[str, bytes]:
            data = read_regular(self.path, MAX_BYTES)
            return sha256(data).hexdigest()[:16], data

        try:
            return await worker.run(read, READ_SECONDS)
        except TimeoutError:
            raise SourceLost(f"{self.path} could not be read in {READ_SECONDS:g} s") from None
        except OSError as error:
            raise SourceLost(f"{self.path} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise self._unusable(error) from error

    def _members(self, data: bytes) -> tuple[Member, ...]:
        """Raises SourceLost."""
        try:
            return _members(data)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> SourceLost:
        return SourceLost(f"{self.path} cannot be used: {' '.join(str(error).split())[:300]}")


def _members(data: bytes) -> tuple[Member, ...]:
    listed = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if isinstance(listed, dict):
        listed = listed.get("instances")
    if not isinstance(listed, list):
        raise ValueError("it needs a list of instances, or instances: with that list")
    members = []
    for number, value in enumerate(listed, 1):
        try:
            members.append(parse_instance(value))
        except ValueError as error:
            raise ValueError(f"instance {number}: {error}") from None
    return tuple(members)
