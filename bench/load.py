"""Load: requests in a closed loop on a number of connections, by wrk, or by a client of ours where there is no wrk."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.client import Client
from bench.programs import BenchError

CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, again and again. With a body it is a POST."""

    name: str
    path: str
    size: int  # bytes of the response body
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """What became of it."""

    requests: int  # that were answered
    failures: int  # of them not with 200, or lost with their connection


class Generator:
    """Sends requests. `name` says with what."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._wrk = shutil.which("wrk")

    @property
    def name(self) -> str:
        return "wrk" if self._wrk else "a client in Python"

    def send(self, port: int, request: Request, seconds: float) -> Load:
        """Send load to a port."""
        if self._wrk is None:
            return uvloop.run(_send(port, request, seconds))
        output = subprocess.run(
            [self._wrk, *self._options(request, seconds), f"http://127.0.0.1:{port}{request.path}"],
            capture_output=True,
            text=True,
            timeout=seconds + 20,
            check=False,
        )
        return read_wrk(output.stdout + output.stderr)

    def _options(self, request: Request, seconds: float) -> list[str]:
        options = ["--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{max(1, round(seconds))}s"]
        for name, value in request.headers:
            options += ["--header", f"{name}: {value}"]
        if not request.body:
            return options
        script = self._directory / "post.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.body = "{request.body.decode()}"\n')
        return [*options, "--script", str(script)]


def read_wrk(output: str) -> Load:
    """What wrk says of itself. It counts redirects as good; the backend has none."""
    requests = re.search(r"(\d+) requests in", output)
    if requests is None:
        raise BenchError(f"wrk failed: {output.strip()}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    failures = (int(bad[1]) if bad else 0) + (sum(map(int, lost.groups())) if lost else 0)
    return Load(int(requests[1]), failures)


async def _send(port: int, request: Request, seconds: float) -> Load:
    method = "POST" if request.body else "GET"
    length = f"Content-Length: {len(request.body)}\r\n" if request.body else ""
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers) + length
    head = f"{method} {request.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n"
    clients = [Client(head.encode() + request.body) for _ in range(CONNECTIONS)]
    loop = asyncio.get_running_loop()
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.sleep(seconds)
    for client in clients:
        client.stop()
    return Load(sum(client.answered for client in clients), sum(client.failures for client in clients))
