"""Reloads of 10,000 routes, one of which changes, while clients ask."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.measure import FAILURES, Bench, said
from bench.programs import BenchError, Program, get, running
from bench.proxies import PREFIX, Workshop
from bench.results import Line, Result

ROUTES: Final = 10_000
RELOADS: Final = 20
LEAST: Final = 3  # reloads, however long they take
CLIENTS: Final = 4
PAUSE: Final = 0.004  # seconds between two requests of each
RELOAD_SECONDS: Final = 30.0  # at most
SETTLING_SECONDS: Final = 0.1  # what comes after a reload, such as freeing what was before, delays requests, too
PROBE: Final = f"{PREFIX}/small"

_ASK: Final = f"GET {PROBE} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

Change = Callable[[int], None]
"""Writes a configuration whose page /version says this number."""


def reloads(bench: Bench) -> list[Result]:
    """The longest request, and how long reloads took, of the gateway both ways and of nginx."""
    workshop = bench.workshop
    contestants = [nginx(workshop), *(gateway(workshop, program) for program in gateways(workshop))]
    longest, took = ([Line(program.name) for program, _ in contestants] for _ in range(2))
    for place, (program, change) in enumerate(contestants):
        now = time.monotonic()
        ends = now + (bench.plan.ends - now) / (len(contestants) - place)
        try:
            with running(program, bench.cores.proxy, workshop.directory, PROBE) as pid:
                reloading = Reloading(program, pid, change)
                asyncio.run(reloading.run(RELOADS, ends))
        except FAILURES as error:
            longest[place].spoiled = took[place].spoiled = said(error)
            continue
        took[place].values = reloading.took
        longest[place].values = [reloading.longest * 1000]
        took[place].count = longest[place].count = len(reloading.took)
        if reloading.failed:
            longest[place].spoiled = f"{reloading.failed} of {reloading.asked} requests failed"
    done = ", ".join(f"{line.name} {line.count}" for line in took)
    note = (
        f"{ROUTES:,} routes; {CLIENTS} clients that ask every {PAUSE * 1000:g} ms. "
        f"Reloads that there was time for, of {RELOADS} each: {done}."
    )
    return [
        Result("reload", "Longest request during reloads", "ms", longest, note),
        Result("reload-time", "Time of a reload", "s", took, note),
    ]


def gateways(workshop: Workshop) -> list[Program]:
    """With so many routes."""
    interpreted = [True] if workshop.compiled else []
    names = {False: "gateway", True: "gateway, interpreted"}
    return [
        workshop.gateway(name, files=f"reload {name}", routes=ROUTES, interpreted=way)
        for way, name in names.items()
        if way in (False, *interpreted)
    ]


def gateway(workshop: Workshop, program: Program) -> tuple[Program, Change]:
    """How its routes are changed."""
    file = Path(program.command[program.command.index("--config") + 1], "routes.yaml")
    routes = file.read_text()

    def change(number: int) -> None:
        file.write_text(f"{routes}- path: /version\n  respond: {{status: 200, body: '{number}'}}\n")

    change(0)
    return program, change


def nginx(workshop: Workshop) -> tuple[Program, Change]:
    """It, with as many locations."""
    program = workshop.many_locations(ROUTES)
    file = Path(program.command[-1])
    text = file.read_text()

    def change(number: int) -> None:
        file.write_text(text.replace("@version@", str(number)))

    change(0)
    return program, change


@dataclass
class Reloading:
    """One proxy that is reloaded while clients ask it."""

    program: Program
    pid: int
    change: Change
    longest: float = 0.0  # seconds of a request
    failed: int = 0
    asked: int = 0
    took: list[float] = field(default_factory=list)  # seconds of each reload

    async def run(self, count: int, ends: float) -> None:
        """Reload so often, or until then by time.monotonic()."""
        clients = [asyncio.create_task(self._ask()) for _ in range(CLIENTS)]
        try:
            await asyncio.sleep(3 * SETTLING_SECONDS)
            self.longest = 0.0
            for number in range(1, count + 1):
                if number > LEAST and time.monotonic() > ends:
                    break
                await self._reload(number)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _reload(self, number: int) -> None:
        self.change(number)
        began = time.monotonic()
        os.kill(self.pid, signal.SIGHUP)
        while (await asyncio.to_thread(get, self.program.port, "/version"))[1] != b"%d" % number:
            if time.monotonic() > began + RELOAD_SECONDS:
                raise BenchError(f"{self.program.name}: a reload did not end in {RELOAD_SECONDS:g} s")
            await asyncio.sleep(0.05)
        self.took.append(time.monotonic() - began)
        await asyncio.sleep(SETTLING_SECONDS)

    async def _ask(self) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            began = time.perf_counter()
            kept = streams is not None
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self.program.port)
                await _answer(*streams)
            except (OSError, asyncio.IncompleteReadError, BenchError):
                streams = None
                self.failed += not kept  # a kept connection may be closed at any time; then it is asked again
                continue
            self.asked += 1
            self.longest = max(self.longest, time.perf_counter() - began)
            await asyncio.sleep(PAUSE)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_ASK)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200 "):
        raise BenchError(head.decode("latin-1"))
    await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
