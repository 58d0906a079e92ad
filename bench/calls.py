"""What one request touches: `python -m bench.calls`, `python -m bench.calls bare`, or `python -m bench.calls policy`.

Counts the calls of the gateway's own functions, the files that they are in, and what these call of functions in C, from
the first byte of a request to the end of all that it caused, on connections that are open already: with an API key, a
rate limit and an access log before the backend, with nothing but a rewrite (`bare`), or with that and a custom policy
that does nothing (`policy`), whose own code does not count. A coroutine that goes on after a wait counts again; what
timers call, which tick meanwhile, does not. The gateway runs interpreted, in this process; the backend is nginx.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from operator import attrgetter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import gateway
from bench.chain import REQUEST, Chains
from bench.machine import divide_cores, free_port
from bench.programs import BenchError, end_on_termination, get, running
from bench.proxies import REWRITTEN, Workshop
from gateway import cli

WARMING = 50  # requests before the one that is counted
COUNTED = 20  # of which the one with the fewest calls counts
SETTLING = 0.02  # seconds that a request has to end after its answer
START_SECONDS = 30.0

_POLICY = """\
class Nothing:
    def wrap(self, handler):
        async def handed_on(exchange):
            return await handler(exchange)
        return handed_on
"""
_ROOT = f"{Path(gateway.__file__).parent}/"

Calls = Counter[CodeType]


@dataclass(slots=True)
class Recorded:
    """What one request called: functions of the gateway, and what these called of Python and of libraries in C."""

    calls: Calls = field(default_factory=Counter)
    built_in: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.calls.total() + self.built_in


class Recorder:
    """Counts calls on the thread that it is installed on, while it is asked to."""

    def __init__(self) -> None:
        self._recorded: Recorded | None = None

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """What `sys.setprofile` calls."""
        recorded = self._recorded
        if recorded is None or not frame.f_code.co_filename.startswith(_ROOT) or _of_a_clock(frame):
            return
        if event == "call":
            recorded.calls[frame.f_code] += 1
        elif event == "c_call":
            recorded.built_in += 1

    @contextmanager
    def recording(self) -> Iterator[Recorded]:
        """Count what is called in this block."""
        self._recorded = recorded = Recorded()
        try:
            yield recorded
        finally:
            self._recorded = None


def _of_a_clock(frame: FrameType | None) -> bool:
    """A timer of the loop calls it, which no request causes: all are named `_tick`."""
    while frame is not None:
        if frame.f_code.co_name == "_tick":
            return True
        frame = frame.f_back
    return False


def record(port: int, recorder: Recorder) -> Recorded:
    """What the request with the fewest calls called."""
    connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)

    def ask() -> None:
        connection.request("GET", REQUEST.path, headers=dict(REQUEST.headers))
        response = connection.getresponse()
        if response.status != 200 or len(response.read()) != REQUEST.size:
            raise BenchError(f"the gateway answers {response.status}")

    for _ in range(WARMING):
        ask()
    seen: list[Recorded] = []
    for _ in range(COUNTED):
        with recorder.recording() as recorded:
            ask()
            time.sleep(SETTLING)
        seen.append(recorded)
    connection.close()
    return min(seen, key=attrgetter("total"))


def trace(way: str) -> Recorded:
    """What one request calls. `bare`: on a route with nothing but a rewrite, without an access log; `policy`: with a
    custom policy there, too."""
    found: list[Recorded] = []
    recorder = Recorder()
    with tempfile.TemporaryDirectory(prefix="gateway-calls-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx reads it as another user
        workshop = Workshop(directory, free_port())
        program = Chains(workshop).gateway(trace=False) if way == "chain" else workshop.gateway()
        if way == "policy":
            files = Path(program.command[program.command.index("--config") + 1])
            (files / "nothing.py").write_text(_POLICY)
            with (files / "middleware.yaml").open("a") as middleware:
                middleware.write("policies: {nothing: {class: 'nothing.py:Nothing'}}\n")
        arguments = program.command[program.command.index("serve") :]

        def ask() -> None:
            ends = time.monotonic() + START_SECONDS
            try:
                while get(program.port, REQUEST.path, REQUEST.headers)[0] != 200 and time.monotonic() < ends:
                    time.sleep(0.05)
                found.append(record(program.port, recorder))
            finally:
                signal.raise_signal(signal.SIGINT)

        with running(workshop.backend_program(), divide_cores().others, directory, f"{REWRITTEN}/small"):
            asking = threading.Thread(target=ask, daemon=True)
            asking.start()
            sys.setprofile(recorder)
            try:
                cli.main(arguments, standalone_mode=False)
            finally:
                sys.setprofile(None)
            asking.join()
    return found[0]


def main() -> None:
    """Print what was called, file by file."""
    parser = argparse.ArgumentParser(prog="python -m bench.calls", description=__doc__)
    parser.add_argument("way", nargs="?", choices=("chain", "bare", "policy"), default="chain", help="default: chain")
    options = parser.parse_args()
    end_on_termination()
    recorded = trace(options.way)
    calls = recorded.calls
    files: dict[str, Calls] = {}
    for code, count in calls.items():
        files.setdefault(code.co_filename.removeprefix(_ROOT), Counter())[code] = count
    for file, called in sorted(files.items()):
        names = (f"{code.co_name} {count}" if count > 1 else code.co_name for code, count in called.items())
        print(f"{called.total():4}  {file}: {', '.join(names)}")
    print(f"{calls.total()} calls in {len(files)} files, {recorded.built_in} of built-in functions")


if __name__ == "__main__":
    main()
