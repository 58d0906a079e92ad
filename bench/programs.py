"""Programs that run beside the benchmark, each on its cores, until the benchmark ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType

from bench.load import Headers, Request

START_SECONDS = 60.0  # until something answers with another status than 503, which is: not ready yet
RIGHT_SECONDS = 5.0  # and then until it is 200
STOP_SECONDS = 10.0


class BenchError(Exception):
    """The benchmark cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """Something that listens on a port of the loopback interface."""

    name: str
    command: tuple[str, ...]
    port: int
    log: Path | None = None  # its access log, where that has to have a line for each request
    environment: tuple[tuple[str, str], ...] = ()  # beside our own
    output: Path | None = None  # where its standard output goes; None: into a file of its name
    credential: Headers = ()  # in the place of the headers of the request, where it cannot check those
    request: Request | None = None  # that it gets in the place of what the others get

    def of(self, request: Request) -> Request:
        """The request as this program can take it."""
        if self.request is not None:
            return self.request
        return replace(request, headers=self.credential) if self.credential else request


def end_on_termination() -> None:
    """Have the first SIGTERM end this process as an error would, so that what it runs is stopped."""

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


@contextmanager
def running(
    program: Program, cores: frozenset[int], directory: Path, probe: str, headers: Sequence[tuple[str, str]] = ()
) -> Iterator[int]:
    """Run a program until the end of the block; its process id, once a GET of `probe` is answered with 200."""
    process = started(program, cores, directory)
    try:
        _await_answer(program, process, probe, headers, _log(program, directory))
        yield process.pid
    finally:
        stopped(process)


def started(program: Program, cores: frozenset[int], directory: Path) -> subprocess.Popen[bytes]:
    """A process, and its threads and children, run where the one that starts it does."""
    log = _log(program, directory)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        with log.open("ab") as errors, (program.output or log).open("ab") as output:
            environment = os.environ | dict(program.environment)
            return subprocess.Popen(
                program.command, stdout=output, stderr=errors, env=environment, start_new_session=True
            )
    finally:
        os.sched_setaffinity(0, before)


def _log(program: Program, directory: Path) -> Path:
    return directory / f"{program.name.replace(' ', '-').replace('/', '-')}.log"


def _await_answer(
    program: Program, process: subprocess.Popen[bytes], probe: str, headers: Sequence[tuple[str, str]], log: Path
) -> None:
    began = time.monotonic()
    end = began + START_SECONDS
    while (status := get(program.port, probe, headers)[0]) != 200:
        if status not in (0, 503):
            end = min(end, time.monotonic() + RIGHT_SECONDS)
        if process.poll() is not None or time.monotonic() > end:
            seconds = time.monotonic() - began
            what = f"it ended with {process.returncode}" if process.returncode is not None else f"status {status}"
            said = log.read_text()[-2000:] or "its log is empty"
            raise BenchError(f"{program.name} does not serve after {seconds:.0f} s ({what}): {said}")
        time.sleep(0.05)


def get(port: int, path: str, headers: Sequence[tuple[str, str]] = ()) -> tuple[int, bytes]:
    """Status and body of a GET; status 0 where nothing answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def stopped(process: subprocess.Popen[bytes]) -> None:
    """Stop it, by force where it does not end."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
