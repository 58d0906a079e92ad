"""Instances in a file of YAML or JSON, which is read again when it changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.config.regular_files import read_regular
from gateway.config.yaml.compose import BARE_LIST, compose
from gateway.config.yaml.document import Mapping, Node, Scalar, Sequence, resolve
from gateway.live import Worker
from gateway.registry.instances import parse_instance
from gateway.registry.source import Instances, Sink, SourceLost
from gateway.upstream.member import Member

LOOK_SECONDS: Final = 0.25  # between two looks at the file
MAX_BYTES: Final = 4 * 1024**2
READ_SECONDS: Final = 10.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FileSource:
    """A list of instances, or a mapping with such a list under `instances`."""

    path: Path

    @property
    def place(self) -> str:
        """The file."""
        return f"file {self.path.name}"

    async def watch(self, sink: Sink) -> None:
        """See `Source`. A file that is written in several steps is read when it stayed the same for one look.

        It is looked at as often where it cannot be used: a correction is to be used at once.
        """
        with closing(Worker("file-source")) as worker:
            read = before = ""
            usable = False
            while True:
                happened = time.perf_counter()
                try:
                    revision, data = await self._read(worker)
                    if revision == read and usable:
                        sink.alive()
                    elif revision != read and (revision == before or not read):
                        read, usable = revision, False  # what cannot be used is read once
                        members = await self._run(worker, partial(self._members, data))
                        usable = True
                        sink.deliver(Instances(members, revision, happened))
                    before = revision
                except SourceLost as error:
                    sink.failing(str(error))
                await asyncio.sleep(LOOK_SECONDS)

    async def _read(self, worker: Worker) -> tuple[str, bytes]:
        """The revision of the contents, and these. Raises SourceLost."""

        def read() -> tuple[str, bytes]:
            data = read_regular(self.path, MAX_BYTES)
            return sha256(data).hexdigest()[:16], data

        try:
            return await self._run(worker, read)
        except OSError as error:
            raise SourceLost(f"{self.path} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise self._unusable(error) from error

    async def _run(self, worker: Worker, work: Callable[[], Result]) -> Result:
        try:
            return await worker.run(work, READ_SECONDS)
        except TimeoutError:
            raise SourceLost(f"{self.path} could not be read in {READ_SECONDS:g} s") from None

    def _members(self, data: bytes) -> tuple[Member, ...]:
        """Raises SourceLost."""
        try:
            return _members(self.path.name, data)
        except ValueError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> SourceLost:
        return SourceLost(f"{self.path} cannot be used: {' '.join(str(error).split())[:300]}")


def _members(name: str, data: bytes) -> tuple[Member, ...]:
    document, problems = compose(name, data)  # which no nesting and no aliases of aliases can exhaust
    if problems or document is None:
        first = problems[0]
        raise ValueError(f"line {first.line}, column {first.column}: {first.message}")
    entries = document.root.entries if isinstance(document.root, Mapping) else {}
    entry = entries.get("instances") or entries.get(BARE_LIST)
    if entry is None or not isinstance(entry.node, Sequence):
        raise ValueError("it needs a list of instances, or instances: with that list")
    members = []
    for number, node in enumerate(entry.node.items, 1):
        try:
            members.append(parse_instance(_value(node)))
        except ValueError as error:
            raise ValueError(f"instance {number}: {error}") from None
    return tuple(members)


def _value(node: Node) -> Any:
    if isinstance(node, Scalar):
        return resolve(node.text) if node.plain else node.text
    if isinstance(node, Sequence):
        return [_value(item) for item in node.items]
    return {key: _value(entry.node) for key, entry in node.entries.items()}
