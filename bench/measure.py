"""Rounds: every contender gets the same load for a while, one after the other, again and again.

Interleaved, so that what disturbs the machine for a while disturbs all of them. What fails spoils the line of its
contender, and is not measured again; the others go on.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from subprocess import SubprocessError

from bench.load import Request, send
from bench.logs import emptied, records
from bench.machine import Cores, cpu_seconds
from bench.programs import BenchError, Program, get, running
from bench.proxies import COUNTER, Workshop
from bench.results import Line

WARM_UP_SECONDS = 0.5
SETTLING_SECONDS = 0.02
LEAST_ROUNDS = 2
FAILURES = (BenchError, OSError, EOFError, ValueError, LookupError, ArithmeticError, SubprocessError)
"""What a contender can cause."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    seconds: float  # of one round
    rounds: int  # at most
    ends: float = float("inf")  # by time.monotonic(), after which no further round begins, from the third one on
    few: bool = False  # the yardsticks only, beside the gateway, but for what is most asked for


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round found."""

    value: float
    count: int  # requests, messages or events that it is of


@dataclass(slots=True)
class Runner:
    """A contender that runs."""

    program: Program
    pid: int = 0
    spoiled: str = ""  # why it could not be started


Measure = Callable[[Runner], Sample]
"""One round with one contender. Raises BenchError."""


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
    plan: Plan

    def inside(self, name: str, backend: int | None = None) -> Bench:
        """The same with a directory of its own, and with another backend."""
        return replace(self, workshop=self.workshop.inside(name, backend))

    def compare(
        self,
        programs: Sequence[Program],
        requests: Sequence[Request],
        verify: Callable[[Program], None] = lambda program: None,
        *,
        unasked: int = 0,
    ) -> list[list[Line]]:
        """CPU microseconds per request of every program: the lines by request, and then by program.

        `verify` looks at each program before that. `unasked` is how many requests a proxy may send by itself in a
        round, such as health checks.
        """

        def prepare(runner: Runner) -> None:
            self._check(runner.program, requests)
            verify(runner.program)
            if runner.program.log is not None:
                records(runner.program.log)  # the lines of what was asked so far have come
            self._request_round(requests[0], unasked, runner, WARM_UP_SECONDS)

        measures = [partial(self._request_round, request, unasked) for request in requests]
        return self.rounds(programs, measures, requests[0], prepare)

    def rounds(
        self,
        programs: Sequence[Program],
        measures: Sequence[Measure],
        probe: Request,
        prepare: Callable[[Runner], object] = lambda runner: None,
    ) -> list[list[Line]]:
        """Measure each program in turn, again and again: the lines by measure, and then by program."""
        table = [[Line(program.name) for program in programs] for _ in measures]
        with ExitStack() as stack:
            runners = [self._started(stack, program, probe, prepare) for program in programs]
            for line, runner in _pairs(table, runners):
                line.spoiled = runner.spoiled
            for number in count():
                if number >= self.plan.rounds or (number >= LEAST_ROUNDS and time.monotonic() > self.plan.ends):
                    break
                for row, measure in zip(table, measures, strict=True):
                    for line, runner in _pairs([row], runners):
                        _add(line, runner, measure)
        return table

    def _started(
        self, stack: ExitStack, program: Program, probe: Request, prepare: Callable[[Runner], object]
    ) -> Runner:
        runner = Runner(program)
        directory, headers = self.workshop.directory, program.of(probe).all_headers
        try:
            runner.pid = stack.enter_context(running(program, self.cores.proxy, directory, probe.path, headers))
            prepare(runner)
        except FAILURES as error:
            runner.spoiled = said(error)
        return runner

    def _check(self, program: Program, requests: Sequence[Request]) -> None:
        """Every kind of request must be answered with what the backend has."""
        for request in requests:
            status, body = get(program.port, request.path, program.of(request).all_headers)
            if status != 200 or len(body) != request.size:
                raise BenchError(f"{program.name} answers {request.path} with {status} and {len(body)} bytes")

    def _request_round(self, request: Request, unasked: int, runner: Runner, seconds: float | None = None) -> Sample:
        program = runner.program
        if program.log is not None:
            emptied(program.log)
        served, spent = self.counter.settled(), cpu_seconds(runner.pid)
        load = send(program.port, program.of(request), seconds or self.plan.seconds)
        served = self.counter.settled() - served
        logged = load.requests if program.log is None else len(records(program.log, load.requests))
        spent = cpu_seconds(runner.pid) - spent
        if load.failures or not load.requests <= served <= load.requests + unasked or logged != load.requests:
            counts = f"{load.requests} answers, {load.failures} failures, {served} requests at the backend"
            raise BenchError(f"{program.name} did not forward or log what it was sent: {counts}, {logged} lines")
        return Sample(spent / load.requests * 1e6, load.requests)


def _pairs(table: Sequence[Sequence[Line]], runners: Sequence[Runner]) -> Iterator[tuple[Line, Runner]]:
    for row in table:
        yield from zip(row, runners, strict=True)


def _add(line: Line, runner: Runner, measure: Measure) -> None:
    if line.spoiled:
        return
    try:
        sample = measure(runner)
    except FAILURES as error:
        line.spoiled = said(error)
    else:
        line.values.append(sample.value)
        line.count += sample.count


def said(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
