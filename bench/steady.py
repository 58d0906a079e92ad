"""Latency at a fixed rate: requests begin when they are due, whether those before them were answered or not.

They are due at random (a Poisson process), and what is measured is the time from when one is due to the end of its
answer: so a proxy that falls behind is not asked less.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections import deque

from bench.load import Request
from bench.measure import Measure, Runner, Sample
from bench.programs import BenchError
from bench.proxies import SMALL

RATE = 15_000  # requests per second
CONNECTIONS = 48
LATE_SECONDS = 2.0  # after the end: what has not come by then counts as if it came then
_END = SMALL[-20:].encode()


def measures(request: Request, seconds: float, rate: float = RATE) -> tuple[Measure, Measure]:
    """Microseconds below which half of the requests are answered, and 99% of them, both of one round."""
    found: dict[str, list[float]] = {}

    def half(runner: Runner) -> Sample:
        found[runner.program.name] = latencies = sorted(latencies_at(runner.program.port, request, seconds, rate))
        return Sample(latencies[len(latencies) // 2] * 1e6, len(latencies))

    def most(runner: Runner) -> Sample:
        latencies = found.pop(runner.program.name, None)
        if latencies is None:
            raise BenchError("see the p50")
        return Sample(latencies[int(0.99 * len(latencies))] * 1e6, len(latencies))

    return half, most


def latencies_at(port: int, request: Request, seconds: float, rate: float) -> list[float]:
    """Seconds, one for each request. Raises BenchError where one is answered with something else."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    try:
        for client in clients:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setblocking(False)
        return _Asking(clients, request.encoded[0], seconds, rate).run()
    finally:
        for client in clients:
            client.close()


class _Asking:
    """Written for this alone: event loops count milliseconds, and cost more than what is measured."""

    def __init__(self, clients: list[socket.socket], request: bytes, seconds: float, rate: float) -> None:
        self._idle = list(clients)
        self._busy: dict[socket.socket, tuple[float, bytes]] = {}  # since when its request was due, and what has come
        self._request = request
        self._seconds, self._rate = seconds, rate
        self._latencies: list[float] = []

    def run(self) -> list[float]:
        chance = random.Random(1)
        begin = time.perf_counter()
        due: deque[float] = deque()
        following = begin
        while self._busy or due or following < begin + self._seconds:
            now = time.perf_counter()
            while following <= min(now, begin + self._seconds):
                due.append(following)
                following += chance.expovariate(self._rate)
            while due and self._idle:
                self._ask(due.popleft())
            if now > begin + self._seconds + LATE_SECONDS:
                self._latencies += [now - since for since in (*due, *(since for since, _ in self._busy.values()))]
                break
            self._read(max(0.0, following - time.perf_counter()))
        return self._latencies

    def _ask(self, due: float) -> None:
        client = self._idle.pop()
        client.send(self._request)
        self._busy[client] = (due, b"")

    def _read(self, wait: float) -> None:
        readable, _, _ = select.select(list(self._busy), (), (), min(wait, 0.1))  # microseconds, unlike epoll
        for client in readable:
            due, before = self._busy.pop(client)
            data = client.recv(65536)
            whole = before + data
            if not data or not whole.startswith(b"HTTP/1.1 200 "):
                raise BenchError(f"answered with {whole[:40]!r}")
            if whole.endswith(_END):
                self._latencies.append(time.perf_counter() - due)
                self._idle.append(client)
            else:
                self._busy[client] = (due, whole)
