"""Rounds: every proxy gets the same load for a while, one after the other, again and again.

Interleaved, so that what disturbs the machine for a while disturbs all of them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from bench.load import CONNECTIONS, Generator, Request
from bench.logs import emptied, records
from bench.machine import Cores, cpu_seconds
from bench.programs import BenchError, Program, get, running
from bench.proxies import COUNTER, PREFIX, Workshop

WARM_UP_SECONDS = 1.0
SETTLING_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    seconds: float  # of one round


@dataclass(slots=True)
class Cost:
    """What requests cost a proxy, round by round."""

    name: str
    microseconds: list[float] = field(default_factory=list)
    requests: int = 0

    @property
    def best(self) -> float:
        """CPU microseconds per request in the least disturbed round."""
        return min(self.microseconds)

    @property
    def median(self) -> float:
        """CPU microseconds per request in the middle of all rounds."""
        return median(self.microseconds)


class Counter:
    """Reads how many requests the backend has taken, less those that asked it just that."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._asked = 0

    def settled(self) -> int:
        """The count, once no more come."""
        before, count = -1, self._read()
        while count != before:
            time.sleep(SETTLING_SECONDS)
            before, count = count, self._read()
        return count

    def _read(self) -> int:
        self._asked += 1
        _, page = get(self._port, COUNTER)
        counts = re.search(rb"\n (\d+) (\d+) (\d+) ", page)
        if counts is None:
            raise BenchError("the backend does not count its requests")
        return int(counts[3]) - self._asked


@dataclass(frozen=True, slots=True)
class Bench:
    """A backend that runs, and what it takes to load proxies in front of it."""

    workshop: Workshop
    counter: Counter
    cores: Cores
    generator: Generator
    plan: Plan

    def compare(
        self,
        programs: Sequence[Program],
        requests: Sequence[Request],
        verify: Callable[[Program], None] = lambda program: None,
    ) -> list[list[Cost]]:
        """Measure every program with every request: the costs by request, and then by program.

        `verify` looks at each program before that. Raises BenchError.
        """
        costs = [[Cost(program.name) for program in programs] for _ in requests]
        with ExitStack() as stack:
            pids = [
                stack.enter_context(
                    running(program, self.cores.proxy, self.workshop.directory, f"{PREFIX}/small", requests[0].headers)
                )
                for program in programs
            ]
            for program in programs:
                self._check(program, requests)
                verify(program)
                self.generator.send(program.port, requests[0], WARM_UP_SECONDS)
            for _ in range(self.plan.rounds):
                for row, request in zip(costs, requests, strict=True):
                    for cost, program, pid in zip(row, programs, pids, strict=True):
                        self._round(cost, program, pid, request)
        return costs

    def _check(self, program: Program, requests: Sequence[Request]) -> None:
        """Every kind of request must be answered with what the backend has."""
        for request in requests:
            status, body = get(program.port, request.path, request.headers)
            if status != 200 or len(body) != request.size:
                raise BenchError(f"{program.name} answers {request.path} with {status} and {len(body)} bytes")

    def _round(self, cost: Cost, program: Program, pid: int, request: Request) -> None:
        if program.log is not None:
            emptied(program.log)
        served, spent = self.counter.settled(), cpu_seconds(pid)
        load = self.generator.send(program.port, request, self.plan.seconds)
        served = self.counter.settled() - served
        logged = served if program.log is None else len(records(program.log))
        spent = cpu_seconds(pid) - spent
        # Those that were under way at the end reached the backend, but no longer the client.
        possible = range(load.requests, load.requests + CONNECTIONS + 1)
        if load.failures or served not in possible or logged not in possible:
            counts = f"{load.requests} answers, {load.failures} failures, {served} requests at the backend"
            raise BenchError(f"{program.name} did not forward or log what it was sent: {counts}, {logged} lines")
        cost.requests += served
        cost.microseconds.append(spent / served * 1e6)
