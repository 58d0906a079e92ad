"""Backends to break, and a client that counts what it sees of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support import free_port
from tests.upstream.wire import read_message


@dataclass
class Backend:
    """A backend process."""

    settings: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "tests.gamedays.backend", str(self.port), *self.settings]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def wait_until_ready(self) -> None:
        """Until it listens."""
        assert self.process is not None
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it without any notice."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    async def become(self, settings: str) -> None:
        """Change what it does, such as `errors=50`."""
        head = f"POST /control?{settings} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head.encode())
        assert (await read_message(reader)).status == 200
        writer.close()


@contextlib.contextmanager
def backends(count: int, *settings: str) -> Iterator[list[Backend]]:
    """So many of them; ended afterwards, whatever has become of them."""
    started = [Backend(settings) for _ in range(count)]
    try:
        for backend in started:
            backend.launch()
        for backend in started:
            backend.wait_until_ready()
        yield started
    finally:
        for backend in started:
            backend.kill()


@dataclass(frozen=True)
class Seen:
    """One request as the client saw it. Times are those of time.monotonic(); status 0: no answer."""

    started: float
    seconds: float
    status: int


class Client:
    """Sends requests to a gateway, on connections that it keeps, and remembers what came of each."""

    def __init__(self, port: int) -> None:
        self.seen: list[Seen] = []
        self.over = False  # set by those who have seen enough
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, method: str = "GET", path: str = "/x", body: bytes = b"") -> Seen:
        """One request, whatever comes of it."""
        started, status = time.monotonic(), 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(20):
                status = await self._status(method, path, body)
        self.seen.append(Seen(started, time.monotonic() - started, status))
        return self.seen[-1]

    async def _status(self, method: str, path: str, body: bytes) -> int:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *([f"Content-Length: {len(body)}"] if body else []), "", ""]
        try:
            writer.write("\r\n".join(lines).encode() + body)
            answer = await read_message(reader)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return answer.status

    async def steadily(self, rate: float, seconds: float, method: str = "GET") -> None:
        """So many requests a second, each at its time, whatever becomes of those before, until it is over."""
        began, asked = asyncio.get_running_loop().time(), set[asyncio.Task[Seen]]()
        for number in range(int(rate * seconds)):
            if self.over:
                break
            due = began + number / rate
            if (wait := due - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
            asked.add(asyncio.create_task(self.ask(method)))
        await asyncio.gather(*asked)

    def failed(self) -> list[Seen]:
        """Those that were answered with a 5xx, or not at all."""
        return [each for each in self.seen if not 0 < each.status < 500]

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


def percentile(seen: list[Seen], share: float) -> float:
    """Seconds within which this share of the requests was answered."""
    ordered = sorted(each.seconds for each in seen)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def bursts(client: Client, size: int, gaps: tuple[float, float], count: int, method: str = "POST") -> None:
    """So many bursts of requests at once, with gaps of between so many seconds."""
    chance = random.Random(5)
    for _ in range(count):
        await asyncio.gather(*(client.ask(method) for _ in range(size)))
        await asyncio.sleep(chance.uniform(*gaps))


def statuses(client: Client) -> Counter[int]:
    """How many answers of each status."""
    return Counter(each.status for each in client.seen)


__all__ = ["Backend", "Client", "Seen", "backends", "bursts", "percentile", "statuses"]
