"""Traffic from which the compiler learns what is usual: see GATEWAY_PROFILE in setup.py.

`python deploy/training.py` runs the gateway of that Python with a small backend, on loopback, asks it for what gateways
are asked for, and ends it. What it was compiled to record is then in the directory of the profile. It takes some
seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import cycle
from pathlib import Path

import httpx2
import websockets

HOST = "127.0.0.1"
CLIENTS = 16
REQUESTS = 1_000  # of each kind that is usual; of others, a part of that
START_SECONDS = 60.0
STOP_SECONDS = 60.0

KEYS = [f"key-{number:030}" for number in range(100)]
BROWSER = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "en-GB,en;q=0.5",
    "accept-encoding": "gzip, deflate, br",
    "referer": "https://shop.example/basket",
    "cookie": "session=0123456789abcdef; theme=dark",
    "sec-fetch-dest": "document",
    "sec-fetch-mode": "navigate",
    "sec-fetch-site": "same-origin",
    "x-forwarded-for": "192.0.2.17",
    "x-forwarded-proto": "https",
}

# It ends as Python does, and not at once as the command does: what was recorded is written at the end of the process.
GATEWAY = "from gateway.cli import main; main()"


def main() -> None:
    """Run it all."""
    with tempfile.TemporaryDirectory() as directory:
        backend, port = _free_port(), _free_port()
        _configure(Path(directory), backend)
        serve = ["serve", "--config", directory, "--host", HOST, "--port", str(port), "--admin", "off", "--strict"]
        with (
            _running("-m", "gateway.demo", f"backend:{backend}"),
            _running("-c", GATEWAY, *serve) as served,
        ):
            asyncio.run(_train(f"http://{HOST}:{port}", served))


def _configure(directory: Path, backend: int) -> None:
    target = f"{HOST}:{backend}"
    routes = [
        {"id": "plain", "path": "/plain/*", "target": target, "auth": []},
        {"id": "keyed", "path": "/keyed/{name}", "target": target, "rewrite": "/v1/{name}"},
    ]
    consumers = [
        {"name": f"consumer-{number}", "keys": [{"hash": "sha256:" + sha256(key.encode()).hexdigest()}]}
        for number, key in enumerate(KEYS)
    ]
    schemes = {"keys": {"api_key": {"header": "x-api-key"}}}
    auth = {"schemes": schemes, "default": ["keys"], "consumers": consumers, "trusted_proxies": [HOST]}
    middleware = {
        "drain": {"window": 0},
        "access_log": {"output": str(directory / "access.log")},
        "trace": {"enabled": True},
        "rate_limits": {"per-consumer": {"key": ["consumer"], "limits": ["100000/s"], "routes": ["keyed"]}},
    }
    for name, section in (("routes", routes), ("auth", auth), ("middleware", middleware)):
        (directory / f"{name}.yaml").write_text(json.dumps(section))


async def _train(gateway: str, process: subprocess.Popen[bytes]) -> None:
    limits = httpx2.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx2.AsyncClient(base_url=gateway, limits=limits, timeout=60.0) as client:
        await _until_ready(client, process)
        keys = cycle({"x-api-key": key} for key in KEYS)
        requests = [("GET", "/plain/small", {}, b"", 200)] * REQUESTS
        requests += [("GET", "/keyed/small", next(keys), b"", 200) for _ in range(REQUESTS)]
        requests += [("GET", "/keyed/page?from=1", BROWSER | next(keys), b"", 200) for _ in range(REQUESTS // 2)]
        requests += [("POST", "/keyed/orders", next(keys), b"x" * 1_000, 200) for _ in range(REQUESTS // 4)]
        requests += [("PUT", "/keyed/file", next(keys), b"x" * 2_000_000, 200) for _ in range(REQUESTS // 50)]
        requests += [("GET", "/keyed/events?count=200&interval=0", next(keys), b"", 200) for _ in range(CLIENTS)]
        requests += [("GET", "/plain/small?status=503", {}, b"", 503)] * (REQUESTS // 50)
        requests += [("GET", "/keyed/small", {"x-api-key": "no key"}, b"", 401)] * (REQUESTS // 50)
        requests += [("GET", "/nowhere", {}, b"", 404)] * (REQUESTS // 50)
        waiting = iter(requests)

        async def ask() -> None:
            for method, path, headers, body, expected in waiting:
                response = await client.request(method, path, headers=headers, content=body or None)
                if response.status_code != expected:
                    raise SystemExit(f"{method} {path}: {response.status_code}, and not {expected}: {response.text}")

        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                tasks.create_task(ask())
    async with websockets.connect(gateway.replace("http", "ws") + "/plain/ws") as socket_:
        for number in range(REQUESTS // 4):
            await socket_.send(f"message {number}")
            await socket_.recv()


async def _until_ready(client: httpx2.AsyncClient, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while process.poll() is None:
            with suppress(httpx2.TransportError):
                if (await client.get("/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise SystemExit("the gateway has ended before it served")


@contextmanager
def _running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-P", *arguments], env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
