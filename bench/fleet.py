"""What many idle services cost: `python -m bench.fleet`.

A thousand services of ten endpoints each, every one of which is checked every 30 s, while the set of one service
changes every 100 ms. Tells how the checks are spread, the share of a core that all of it takes, what one change costs
the event loop and how late that is meanwhile, and what is left after a thousand changes. All in this process, but for
the backend, which listens on all of 127.0.0.0/8, so that each endpoint has an address of its own. It needs Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvloop

from bench.machine import divide_cores, free_port
from bench.programs import end_on_termination
from gateway.algorithms.outlier_detection import OutlierSettings
from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.http.testing import make_exchange
from gateway.upstream.member import Address, Member
from gateway.upstream.probe import Check
from gateway.upstream.probe_turns import ProbeTurns
from gateway.upstream.prober import Prober
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
SLOT = 0.1  # seconds, in which checks are counted
LATE = 0.1  # seconds, by which a check may be late in the steady state
LOOK = 0.005  # seconds, between two looks at how late the loop is


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    services: int
    endpoints: int  # of each
    interval: float
    seconds: float  # of the measurement
    change: float  # seconds between two changes
    churns: int


@dataclass
class Fleet:
    """All services, and the addresses that they have."""

    plan: Plan
    connector: Connector
    port: int
    upstreams: list[Upstream] = field(default_factory=list)
    probers: list[Prober] = field(default_factory=list)
    turns: ProbeTurns = field(default_factory=ProbeTurns)
    made: int = 0

    def member(self) -> Member:
        """One that there was not before."""
        self.made += 1
        host = f"127.{1 + self.made // 65_025}.{1 + self.made // 255 % 255}.{1 + self.made % 255}"
        return Member(Address(host, self.port))

    async def start(self) -> None:
        check = Check("/health", interval=self.plan.interval)
        settings = Settings(BALANCERS["least_request"], outliers=OutlierSettings())
        for number in range(self.plan.services):
            members = [self.member() for _ in range(self.plan.endpoints)]
            upstream = Upstream(f"service-{number}", self.connector, settings, members)
            prober = Prober(upstream, check, self.turns)
            await prober.start()
            self.upstreams.append(upstream)
            self.probers.append(prober)

    def change(self) -> float:
        """Another endpoint in the place of one, up to a pick; the seconds that it takes."""
        upstream = random.choice(self.upstreams)
        members = [*upstream.members[1:], self.member()]
        started = time.perf_counter()
        upstream.replace(members)
        if upstream.pick(make_exchange(), time.perf_counter(), ()) is None:
            raise RuntimeError("an endpoint that was just made is out")
        return time.perf_counter() - started

    @property
    def checks(self) -> int:
        return sum(prober.checks for prober in self.probers)

    @property
    def failures(self) -> int:
        return sum(prober.failures for prober in self.probers)


async def serve(port: int) -> None:
    """The backend."""

    class Backend(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = transport

        def data_received(self, data: bytes) -> None:
            self._transport.write(ANSWER)  # type: ignore[attr-defined]
            self._transport.close()

    server = await asyncio.get_running_loop().create_server(Backend, "0.0.0.0", port, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def backend() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.fleet", "--serve", str(port)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield port
    finally:
        process.kill()
        process.wait()


async def measure(plan: Plan, port: int) -> None:
    loop = asyncio.get_running_loop()
    gc.set_threshold(10_000, 20, 50)  # as the gateway does
    own = await _own_part()
    fleet = Fleet(plan, Connector(Deadlines(loop), Resolver({})), port)
    began = time.perf_counter()
    await fleet.start()
    print(f"{plan.services} services, {plan.services * plan.endpoints} endpoints: {_since(began)} ms to make")
    while fleet.checks < plan.services * plan.endpoints:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    print(f"first check of each: {time.perf_counter() - began:.1f} s after the start")
    await asyncio.sleep(plan.interval)
    while time.perf_counter() - fleet.turns.next_due > LATE:  # noqa: ASYNC110  second checks wait behind first ones
        await asyncio.sleep(1)
    slots, late, changes = await _run(fleet, plan, own)
    mean = sum(slots.values()) / max(1, len(slots))
    print(f"checks in {SLOT * 1000:.0f} ms: mean {mean:.1f}, most {max(slots.values())}, least {min(slots.values())}")
    print(f"one change: median {_ms(changes, 0.5)}, p99 {_ms(changes, 0.99)}, longest {_ms(changes, 1)} ms")
    print(f"the loop was late by: p99 {_ms(late, 0.99)}, at most {_ms(late, 1)} ms")
    print(f"checks that failed: {fleet.failures}")
    await _churn(fleet, plan)


async def _own_part() -> float:
    """The share of a core that looking at how late the loop is takes by itself."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(int(2 / LOOK)):
        await asyncio.sleep(LOOK)
    return (time.process_time() - cpu) / (time.perf_counter() - began)


async def _run(fleet: Fleet, plan: Plan, own: float) -> tuple[Counter[int], list[float], list[float]]:
    slots, late, changes = Counter[int](), list[float](), list[float]()
    began, cpu, next_change, before = time.perf_counter(), os.times(), 0.0, fleet.checks
    while (now := time.perf_counter() - began) < plan.seconds:
        await asyncio.sleep(LOOK)
        late.append(time.perf_counter() - began - now - LOOK)
        slot = int(now / SLOT)
        if slot not in slots:
            slots[slot] = fleet.checks - before
            before += slots[slot]
        if now >= next_change:
            changes.append(fleet.change())
            next_change += plan.change
    seconds, now_cpu = time.perf_counter() - began, os.times()
    user, system = (now_cpu.user - cpu.user) / seconds, (now_cpu.system - cpu.system) / seconds
    rate = sum(slots.values()) / seconds
    print(f"CPU: {user + system:.1%} of a core ({system:.1%} in the kernel) at {rate:.0f} checks a second,")
    print(f"     {own:.1%} of it this measurement's own")
    return slots, late, changes


async def _churn(fleet: Fleet, plan: Plan) -> None:
    def state() -> tuple[int, int, int]:
        gc.collect()
        watched = sum(len(prober._watched) for prober in fleet.probers)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, len(gc.get_objects()), watched

    for _ in range(plan.churns):  # the allocator takes what it will keep
        fleet.change()
        await asyncio.sleep(0.001)
    before = state()
    for _ in range(plan.churns):
        fleet.change()
        await asyncio.sleep(0.001)
    await asyncio.sleep(plan.interval)
    after = state()
    for prober in fleet.probers:
        prober.retire()
    await asyncio.sleep(1)
    for name, first, then in zip(("MiB, at most", "objects", "endpoints checked"), before, after, strict=True):
        print(f"after {plan.churns} more changes: {name}: {first} before, {then} now")


def _since(began: float) -> str:
    return f"{(time.perf_counter() - began) * 1000:.0f}"


def _ms(seconds: list[float], share: float) -> str:
    ordered = sorted(seconds)
    return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--interval", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve))
        return
    end_on_termination()
    plan = Plan(options.services, options.endpoints, options.interval, options.seconds, 0.1, 1000)
    with backend() as port:
        cores = divide_cores()
        os.sched_setaffinity(0, cores.proxy)
        uvloop.run(measure(plan, port))


if __name__ == "__main__":
    main()
