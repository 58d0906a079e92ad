"""Reads all metrics every so often, for a collector: on the loop, in slices between which requests are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.families import Buckets, Family, Sample
from gateway.live import Tasks
from gateway.monitor.telemetry.pipeline import Pipeline

SLICE: Final = 0.0005  # seconds of a turn of the loop, from which on nothing more is read in it
PAUSE: Final = 0.001  # seconds between two slices

Families = Callable[[], Iterable[Family]]


@dataclass(frozen=True, slots=True)
class Reading:
    """All metrics at one time."""

    families: list[Family]
    at: float  # Unix time
    paths: Mapping[str, str] = field(default_factory=dict)  # of routes that have one, by their ids


class MetricReader:
    """Puts a reading into a pipeline every `interval` seconds, and at the end."""

    def __init__(self, families: Families, interval: float, pipeline: Pipeline[Reading]) -> None:
        self.tasks = Tasks()
        self._paths: Mapping[str, str] = {}
        self._families = families
        self._interval = interval
        self._pipeline = pipeline

    def know(self, paths: Mapping[str, str]) -> None:
        """A new configuration has routes with these paths, by their ids."""
        self._paths = paths

    async def start(self) -> None:
        """Begin to read. See `Startable`."""
        self.tasks.supervise("reading metrics for OpenTelemetry", self._work)

    async def stop(self) -> None:
        """Read once more, so that nothing of what was counted last is lost. See `Stoppable`."""
        self.tasks.cancel()
        await self._read()

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._read()

    async def _read(self) -> None:
        families: list[Family] = []
        at, ends = time.time(), time.perf_counter() + SLICE
        for step in _steps(self._families()):
            if step is not None:
                families.append(step)
            if time.perf_counter() >= ends:
                await asyncio.sleep(PAUSE)
                ends = time.perf_counter() + SLICE
        self._pipeline.put(Reading(families, at, self._paths), 0)


def _steps(families: Iterable[Family]) -> Iterator[Family | None]:
    """Each family with its values as of now, and None where a little of one was done."""
    seen: set[str] = set()  # of two with one name the first counts
    for family in families:
        samples: list[Sample | None] = []
        for sample in family.samples if family.name not in seen else ():
            if sample is not None:
                # What a thread may read while requests are counted.
                value = sample.value
                samples.append(
                    sample if isinstance(value, int | float | Buckets) else sample._replace(value=value.copy())
                )
            yield None
        if samples:
            yield replace(family, samples=samples)
        seen.add(family.name)
