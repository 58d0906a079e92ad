"""What a gateway needs for so many of everything: `python -m bench.sizing`.

Prints the memory of a gateway (resident, of the process) and the CPU seconds of its start, for several configurations;
then what each connection, WebSocket, event stream and counted client adds, on a fresh gateway each. It needs Linux, and
takes a minute. The figures are of the gateway that this Python imports, interpreted or compiled.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bench.machine import cpu_seconds, free_port, resident
from bench.programs import Program, end_on_termination, running
from gateway.http import messages

CORES = frozenset(range(2**10))
CONNECTIONS = 2_000
STREAMS = 400
CLIENTS = 20_000
AUTH = "trusted_proxies: [127.0.0.1]\n"
LIMIT = "access_log: {output: 'off'}\nrate_limits: {each: {key: [address], limits: [1000/h]}}\n"
LOGS = "access_log: {output: access.jsonl}\naudit_log: {file: audit.jsonl}\n"
LINES = 1_000
SHAKE = (
    b"GET /demo/%d/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Files:
    """One configuration."""

    routes: str
    middleware: str = "access_log: {output: 'off'}\n"
    auth: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """A gateway that serves."""

    pid: int
    port: int
    directory: Path

    @property
    def memory(self) -> int:
        """Resident, in bytes."""
        return resident(self.pid)


def main() -> None:
    """Print all figures, a line each."""
    argparse.ArgumentParser(prog="python -m bench.sizing", description=__doc__).parse_args()
    end_on_termination()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    made = "interpreted" if (messages.__file__ or "").endswith(".py") else "compiled"
    print(f"gateway {made}, Python {sys.version.split()[0]}", flush=True)
    with demo() as backend:
        plain = route(backend)
        plans = {
            "one route": Files(f"routes:\n{plain}"),
            "10,000 routes": Files("routes:\n" + plain + "".join(map(_numbered, range(10_000)))),
            "100,000 consumers with a key": Files(f"routes:\n{plain}", auth=_consumers(100_000)),
        }
        for name, files in plans.items():
            with gateway(files) as started:
                print(
                    f"{name:32} {_mib(started.memory)} MiB   {cpu_seconds(started.pid):6.2f} s CPU to start", flush=True
                )
        for name, count, request in (
            ("an idle connection", CONNECTIONS, _probe),
            ("a WebSocket, both sides", STREAMS, _websocket),
            ("an event stream, both sides", STREAMS, _stream),
        ):
            with gateway(Files(f"routes:\n{plain}")) as started:
                _each(started, name, count, request)
        with gateway(Files(f"routes:\n{plain}", LIMIT, AUTH)) as started:
            _counted(started)
        with gateway(Files(f"routes:\n{plain}", LOGS)) as started:
            _logged(started)


def route(port: int) -> str:
    return f"- {{path: /demo/*, id: demo, target: '127.0.0.1:{port}'}}\n- {{path: /fixed, id: fixed, respond: 200}}\n"


def _numbered(number: int) -> str:
    return f"- {{path: '/v1/r{number}/{{id}}', target: '127.0.0.1:9'}}\n"


def _consumers(count: int) -> str:
    lines = (f"- {{name: c{number}, keys: ['sha256:{number:064x}']}}\n" for number in range(count))
    return "schemes: {keys: {api_key: {header: x-api-key}}}\nconsumers:\n" + "".join(lines)


def _probe(number: int) -> bytes:
    return b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"


def _websocket(number: int) -> bytes:
    return SHAKE % number


def _stream(number: int) -> bytes:
    return b"GET /demo/%d/events?interval=3600 HTTP/1.1\r\nhost: x\r\n\r\n" % number


@contextlib.contextmanager
def demo() -> Iterator[int]:
    """A backend; its port."""
    port = free_port()
    command = (sys.executable, "-m", "gateway.demo", f"demo:{port}")
    with (
        tempfile.TemporaryDirectory() as directory,
        running(Program("demo", command, port), CORES, Path(directory), "/health"),
    ):
        yield port


@contextlib.contextmanager
def gateway(files: Files) -> Iterator[Started]:
    """One that serves these files."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        for name in ("routes", "middleware", "auth"):
            (Path(directory) / f"{name}.yaml").write_text(getattr(files, name))
        command = (sys.executable, "-m", "gateway.cli", "serve", "--config", directory, "--host", "127.0.0.1")
        program = Program("gateway", (*command, "--port", str(port), "--admin", "off"), port)
        with running(program, CORES, Path(directory), "/health/ready") as pid:
            yield Started(pid, port, Path(directory))


def _each(started: Started, name: str, count: int, request: Callable[[int], bytes]) -> None:
    """What one of them adds, of so many that are open at once, each after the beginning of an answer."""
    before = started.memory
    with contextlib.ExitStack() as opened:
        for number in range(count):
            client = opened.enter_context(socket.create_connection(("127.0.0.1", started.port), timeout=10))
            client.sendall(request(number))
            client.recv(4096)
        print(f"{name:32} {(started.memory - before) / count / 1024:6.1f} KiB  (of {count:,} at once)", flush=True)


def _counted(started: Started) -> None:
    """What a client adds that a rate limit counts by its address."""
    before = started.memory
    with socket.create_connection(("127.0.0.1", started.port), timeout=10) as client, client.makefile("rb") as answers:
        for number in range(CLIENTS):
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            client.sendall(f"GET /fixed HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {address}\r\n\r\n".encode())
            _skip_answer(answers)
    print(
        f"{'a client that a limit counts':32} {(started.memory - before) / CLIENTS / 1024:6.1f} KiB  (of {CLIENTS:,})"
    )


def _logged(started: Started) -> None:
    """The length of a line of each log, and what is open in a gateway that has answered requests."""
    with socket.create_connection(("127.0.0.1", started.port), timeout=10) as client, client.makefile("rb") as answers:
        for number in range(LINES):
            client.sendall(f"GET /demo/orders/{number} HTTP/1.1\r\nhost: api.example.com\r\n\r\n".encode())
            _skip_answer(answers)
        print(f"{'open descriptors':32} {len(list(Path(f'/proc/{started.pid}/fd').iterdir())):6}")
    time.sleep(1)  # both are written in batches, ten times a second
    for name, file in (("access log", "access.jsonl"), ("audit log", "audit.jsonl")):
        length = (started.directory / file).stat().st_size / LINES
        print(f"{f'a line of the {name}':32} {length:6.0f} bytes", flush=True)


def _skip_answer(answers: BinaryIO) -> None:
    length = 0
    while (line := answers.readline().lower()) not in (b"\r\n", b""):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    answers.read(length)


def _mib(size: int) -> str:
    return f"{size / 2**20:6.1f}"


if __name__ == "__main__":
    main()
