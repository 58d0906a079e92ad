"""Makes the page: in slices of half a millisecond, between which requests are served.

Scrapers that come while it is made get the same one, and one page is made at a time: a flood of scrapes costs requests
no more than one does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakSet

from gateway.families import Family, Labels, Source, gauge
from gateway.monitor.exposition.custom import custom_families
from gateway.monitor.exposition.form import Writer
from gateway.monitor.exposition.limit import SeriesLimit
from gateway.monitor.exposition.negotiation import Form
from gateway.monitor.exposition.protobuf import Protobuf
from gateway.monitor.exposition.text import Text
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.metrics")

SLICE: Final = 0.0005  # seconds of a turn of the loop, from which on nothing more is written in it
PAUSE: Final = 0.001  # seconds between two slices: a page that takes long leaves most of the time to requests
CHUNK: Final = 65_536  # bytes
MOST_HELD: Final = 64 * 1024**2  # bytes of pages that are being sent; beyond, scrapers are refused
LOG_SECONDS: Final = 60.0
OVERFLOW: Final = "Label sets of a family that are shown together, as _other, because there are more than are shown."


class BusyError(Exception):
    """Too much is being sent already, to scrapers that are slow to read."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Page:
    """The page of a scraper. The bytes are kept until the last one has them."""

    chunks: list[bytes]
    size: int  # bytes


class Exposition:
    """Makes pages of what its sources say. All on the event loop."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._writers: dict[Form, Writer] = {
            "text": Text(openmetrics=False),
            "openmetrics": Text(openmetrics=True),
            "protobuf": Protobuf(),
        }
        self._labels: dict[tuple[Form, str], dict[Labels, str | bytes]] = {}  # of each family, as they are written
        self._limit = SeriesLimit()
        self._making: dict[Form, asyncio.Task[Page]] = {}
        self._turn = asyncio.Lock()
        self._held: WeakSet[Page] = WeakSet()
        self._failures = ThrottledLog(logger.warning, LOG_SECONDS)

    def add_source(self, source: Source) -> None:
        """Another source of numbers, read for every page."""
        self._sources.append(source)

    async def page(self, form: Form) -> Page:
        """The page, current or a moment old. Raises BusyError."""
        making = self._making.get(form)
        if making is None:
            if sum(page.size for page in self._held) >= MOST_HELD:
                raise BusyError
            making = self._making[form] = asyncio.create_task(self._make(form))
            making.add_done_callback(lambda _: self._making.pop(form))
        await asyncio.wait({making})  # which leaves it alone when this is cancelled
        return making.result()

    async def _make(self, form: Form) -> Page:
        async with self._turn:
            chunks: list[bytes] = []
            ends = time.perf_counter() + SLICE
            for chunk in self._chunks(form):
                chunks += chunk
                if time.perf_counter() >= ends:
                    await asyncio.sleep(PAUSE)
                    ends = time.perf_counter() + SLICE
        page = Page(chunks, sum(map(len, chunks)))
        self._held.add(page)
        return page

    def now(self, form: Form) -> bytes:
        """The same at once, where nothing else goes on."""
        return b"".join(piece for chunk in self._chunks(form) for piece in chunk)

    def _chunks(self, form: Form) -> Iterator[Sequence[bytes]]:
        """The page bit by bit. Little is done between two of them; most are empty."""
        writer, seen = self._writers[form], set[str]()
        for family in self.families():
            if family.name in seen:  # it is of a custom policy, by a name of the gateway's
                continue
            seen.add(family.name)
            try:
                written: list[bytes] = []
                pieces: list[bytes] = []
                size = ready = 0
                for piece in self._samples(form, writer, family):
                    pieces.append(piece)
                    size += len(piece)
                    if size - ready >= CHUNK:
                        written.append(b"".join(pieces))
                        pieces, ready = [], size
                    yield ()
                yield (writer.head(family, size), *written, b"".join(pieces))
            except Exception as error:
                self._failures.line("the metric %s cannot be rendered: %r", family.name, error)
        for key in [key for key in self._labels if key[0] == form and key[1] not in seen]:
            del self._labels[key]
        yield (writer.end,)

    def families(self) -> Iterator[Family]:
        """All metrics, as of now. An exception in one source does not affect the others."""
        for source in (*self._sources, self._own, custom_families):
            try:
                yield from source()
            except Exception as error:  # it may be the code of others
                self._failures.line("some metrics cannot be rendered: %r", error)

    def _own(self) -> Iterator[Family]:
        yield gauge("gateway_metrics_overflow_series", OVERFLOW, self._limit.together(), ("family",))

    def _samples(self, form: Form, writer: Writer, family: Family) -> Iterator[bytes]:
        """Each of a family as it is written."""
        known = self._labels.get((form, family.name), {})
        labels: dict[Labels, str | bytes] = {}
        for sample in self._limit.samples(family):
            if sample is None:
                yield b""
            elif sample.labels not in labels:  # twice the same would make Prometheus refuse the whole page
                written = known.get(sample.labels)
                if written is None:
                    written = writer.labels(family.labels, sample.labels)
                labels[sample.labels] = written
                yield writer.sample(family, written, sample)
        self._labels[form, family.name] = labels
