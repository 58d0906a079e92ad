"""Real parts for tests: a gateway process, scripted backends, and raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.forking import Forked, fork

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _candidates() -> Iterator[int]:
    """Ports below those of outgoing connections, none twice in a long time, and each in one of the test processes only:
    who listens on one later must not find another there."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0)
    workers = max(worker + 1, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    ports = list(range(12_000 + worker, 32_000, workers))
    random.SystemRandom().shuffle(ports)
    return itertools.cycle(ports)


_PORTS = _candidates()


def free_port() -> int:
    """A port of the loopback interface without a listener, which neither an outgoing connection nor another test gets
    meanwhile."""
    for port in _PORTS:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there are always more")


@dataclass
class GatewayProcess:
    """A gateway that runs `gateway serve` on a directory of its own."""

    directory: Path
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | Forked | None = None
    logs: str = ""  # what its logs are called by, where there is more than one gateway in a directory

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_token(self) -> dict[str, str]:
        """The header that lets a request to the admin port change something."""
        return {"authorization": f"Bearer {(self.directory / 'state' / 'admin-token').read_text().strip()}"}

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """What it wrote to stderr: its own log, as far as its lines are whole."""
        return _whole_lines(self._written("stderr"))

    @property
    def access_log(self) -> str:
        """What it wrote to stdout: the access log, unless configured otherwise, as far as its lines are whole."""
        return _whole_lines(self._written("stdout"))

    def _written(self, name: str) -> Path:
        return self.directory.parent / f"{self.logs}{name}.log"

    def start(self, *, ready: bool = True, forked: bool = True) -> None:
        """Start it, and wait until it is ready (or, with ready=False, until it is alive).

        With forked=False in a process of its own from the beginning, which inherits what this one has.
        """
        arguments = ["serve", "--config", str(self.directory), "--host", "127.0.0.1", "--port", str(self.port)]
        arguments += ["--admin", f"127.0.0.1:{self.admin_port}", *self.arguments]
        out, err = self._written("stdout"), self._written("stderr")
        for file in (out, err):
            file.write_bytes(b"")
        environment = {**os.environ, **self.environment}
        self.process = fork(arguments, environment, out, err) if forked else None
        if self.process is None:
            command = [sys.executable, "-m", "gateway.cli", *arguments]
            with out.open("wb") as written, err.open("wb") as logged:
                self.process = subprocess.Popen(command, stdout=written, stderr=logged, env=environment)
        self.wait_until_healthy("/health/ready" if ready else "/health/live")

    def wait_until_healthy(self, path: str = "/health/ready", seconds: float = 60.0) -> None:
        """Poll until the probe answers 200."""
        until(lambda: self._answers(path), seconds, f"the gateway is not up: {self.log}")

    def _answers(self, path: str) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode}: {self.log}")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)  # a client of httpx2 loads certificates first
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def write(self, routes: str | None = None, middleware: str | None = None, auth: str | None = None) -> None:
        """Write configuration files, each in one go."""
        for name, text in (("routes", routes), ("middleware", middleware), ("auth", auth)):
            if text is not None:
                temporary = self.directory / f".{name}.new"
                temporary.write_text(text)
                temporary.rename(self.directory / f"{name}.yaml")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for its end; the exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> None:
        """End it, the hard way where it does not listen."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def memory(self) -> int:
        """Resident memory, in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")


def _whole_lines(file: Path) -> str:
    """What is in it, but for a line that is being written."""
    data = file.read_bytes()
    return data[: data.rfind(b"\n") + 1].decode()


@contextmanager
def running_gateway(
    directory: Path,
    routes: str,
    middleware: str | None = None,
    auth: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    ready: bool = True,
) -> Iterator[GatewayProcess]:
    """A gateway process on these files, below `directory` (a tmp_path); ended afterwards."""
    config = directory / "config"
    config.mkdir(exist_ok=True)
    gateway = GatewayProcess(config, environment=environment or {}, arguments=arguments)
    gateway.write(routes, middleware, auth)
    try:
        gateway.start(ready=ready)
        yield gateway
    finally:
        gateway.stop()


@asynccontextmanager
async def scripted_backend(script: Script) -> AsyncIterator[int]:
    """A TCP server that runs `script` on every connection; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", free_port())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """A request or response head, with its empty line."""
    return await reader.readuntil(b"\r\n\r\n")


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Write all that comes on one connection to another one, until either is over."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def exchange(port: int, data: bytes, *, seconds: float = 30.0) -> bytes:
    """Send bytes on a new connection, and return everything that comes until the other side closes or resets."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        writer.write(data)
        async with asyncio.timeout(seconds):
            while piece := await reader.read(65536):
                received += piece
    except ConnectionError:
        pass
    finally:
        writer.close()
    return received


def until(condition: Callable[[], bool], seconds: float = 30.0, message: str = "it did not happen") -> None:
    """Poll until a condition of another process holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(message)
        time.sleep(0.02)


def computes_within(seconds: float, work: Callable[[], object]) -> bool:
    """Whether a machine with nothing else to do needs so much CPU time for this at most, in the best of three tries.

    What other threads use does not count, and a machine that is slow at the moment gets as much more as it needs for
    work of which the usual time is known.
    """
    for _ in range(3):
        before = slowness()
        began = time.thread_time()
        work()
        if time.thread_time() - began < seconds * max(before, slowness()):
            return True
    return False


def slowness() -> float:
    """How many times as long as usual computing takes at the moment; 1 where it is faster."""
    began = time.thread_time()
    sum(number * number for number in range(50_000))
    return max(1.0, (time.thread_time() - began) / 0.003)


class Lateness:
    """How much later than planned the event loop of a test ran things, in all: what a busy machine adds to a time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.02
            await asyncio.sleep(0.02)
            self.seconds += loop.time() - due


@asynccontextmanager
async def lateness() -> AsyncIterator[Lateness]:
    """Measure it within the block."""
    late = Lateness()
    watching = asyncio.create_task(late.watch())
    try:
        yield late
    finally:
        watching.cancel()


async def eventually(condition: Callable[[], bool], seconds: float = 30.0, message: str = "it did not happen") -> None:
    """The same, without blocking the event loop."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(message)
        await asyncio.sleep(0.02)


async def read_slowly(port: int, data: bytes, size: int = 2000) -> int:
    """Send bytes, and read so many of the answer every 50 ms until the connection is reset; how many came."""
    loop = asyncio.get_running_loop()
    received = 0
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, data)
        with contextlib.suppress(ConnectionError):
            while sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                if size:
                    received += len(await loop.sock_recv(sock, size))
                await asyncio.sleep(0.05)
    return received
