"""What one request touches: `python -m bench.calls`.

Counts the calls of the gateway's own functions, and the files that they are in, from the first byte of a request to the
end of all that it caused: an API key, a rate limit and an access log stand before the backend, on connections that are
open already. A coroutine that goes on after a wait counts again. The gateway runs interpreted, in this process; the
backend is nginx.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import gateway
from bench.chain import REQUEST, Chains
from bench.machine import divide_cores, free_port
from bench.programs import BenchError, get, running
from bench.proxies import REWRITTEN, Workshop
from gateway import cli

WARMING = 50  # requests before the one that is counted
COUNTED = 20  # of which the one with the fewest calls counts: clocks tick meanwhile
SETTLING = 0.02  # seconds that a request has to end after its answer
START_SECONDS = 30.0

_ROOT = f"{Path(gateway.__file__).parent}/"

Calls = Counter[CodeType]


class Recorder:
    """Counts calls on the thread that it is installed on, while it is asked to."""

    def __init__(self) -> None:
        self._calls: Calls | None = None

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """What `sys.setprofile` calls."""
        if self._calls is not None and event == "call" and frame.f_code.co_filename.startswith(_ROOT):
            self._calls[frame.f_code] += 1

    @contextmanager
    def recording(self) -> Iterator[Calls]:
        """Count what is called in this block."""
        calls: Calls = Counter()
        self._calls = calls
        try:
            yield calls
        finally:
            self._calls = None


def record(port: int, recorder: Recorder) -> Calls:
    """What the request with the fewest calls called."""
    connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)

    def ask() -> None:
        connection.request("GET", REQUEST.path, headers=dict(REQUEST.headers))
        response = connection.getresponse()
        if response.status != 200 or len(response.read()) != REQUEST.size:
            raise BenchError(f"the gateway answers {response.status}")

    for _ in range(WARMING):
        ask()
    seen: list[Calls] = []
    for _ in range(COUNTED):
        with recorder.recording() as calls:
            ask()
            time.sleep(SETTLING)
        seen.append(calls)
    connection.close()
    return min(seen, key=Counter.total)


def trace() -> Calls:
    """What one request calls."""
    found: list[Calls] = []
    recorder = Recorder()
    with tempfile.TemporaryDirectory(prefix="gateway-calls-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx reads it as another user
        workshop = Workshop(directory, free_port())
        program = Chains(workshop).gateway(trace=False)
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
    calls = trace()
    files: dict[str, Calls] = {}
    for code, count in calls.items():
        files.setdefault(code.co_filename.removeprefix(_ROOT), Counter())[code] = count
    for file, called in sorted(files.items()):
        names = (f"{code.co_name} {count}" if count > 1 else code.co_name for code, count in called.items())
        print(f"{called.total():4}  {file}: {', '.join(names)}")
    print(f"{calls.total()} calls in {len(files)} files")


if __name__ == "__main__":
    main()
