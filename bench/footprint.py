"""What a proxy takes beside CPU for requests: memory for connections, and time to start."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

from bench.load import Request
from bench.machine import Cores, resident
from bench.measure import Runner, Sample
from bench.programs import BenchError, Program, get, started, stopped
from bench.proxies import PREFIX, Workshop

IDLE = 1000  # connections
WAITING = 400  # requests
START_SECONDS = 60.0

_SMALL = f"GET {PREFIX}/small HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
_WAIT = f"GET {PREFIX}/wait HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def idle_connection(runner: Runner) -> Sample:
    """Bytes for each connection that has had an answer."""
    return _each(runner, IDLE, _SMALL, lambda client: bool(client.recv(4096)))


def waiting_request(runner: Runner) -> Sample:
    """Bytes for each request whose answer the backend owes, on both sides."""
    return _each(runner, WAITING, _WAIT, lambda client: True)


def _each(runner: Runner, count: int, request: bytes, answered: Callable[[socket.socket], bool]) -> Sample:
    before = resident(runner.pid)
    with ExitStack() as opened:
        for _ in range(count):
            client = opened.enter_context(socket.create_connection(("127.0.0.1", runner.program.port), timeout=10))
            client.sendall(request)
            if not answered(client):
                raise BenchError("a connection was closed")
        time.sleep(0.3)  # those that wait have reached the backend
        after = resident(runner.pid)
    if after <= before:
        raise BenchError("it took no memory that can be seen: what it had freed before was enough")
    return Sample((after - before) / count, count)


def start(program: Program, cores: Cores, workshop: Workshop, request: Request) -> tuple[float, int]:
    """Seconds from its start to the end of its first answer, and its memory then. Raises BenchError."""
    began = time.perf_counter()
    process = started(program, cores.proxy, workshop.directory)
    try:
        while get(program.port, request.path, request.all_headers)[0] != 200:
            if process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                raise BenchError(f"{program.name} does not serve")
            time.sleep(0.002)
        return time.perf_counter() - began, resident(process.pid)
    finally:
        stopped(process)
