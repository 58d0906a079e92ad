"""A rolling update behind nginx, under load: no request is lost."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.test_nginx import configure
from tests.gamedays.support import backends
from tests.support import GatewayProcess, eventually, free_port, until
from tests.upstream.wire import read_message

CLIENTS = 24
ROUNDS = 2
REQUESTS = 8000  # at least, and until the last update is over
DRAIN = "drain: {window: 1s, deadline: 20s}\n"
ROUTES = """\
routes:
- path: /slow
  target: {slow}
- path: /*
  target: {fast}
"""


class Load:
    """Clients of nginx that never pause, half of them each time on a new connection: they fetch, send, and wait."""

    def __init__(self, port: int) -> None:
        self.statuses: Counter[str] = Counter()
        self.over = False
        self._port = port

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))

    async def _client(self, number: int) -> None:
        lines = ["GET /api/x", "POST /api/x", "GET /api/x", "POST /api/slow"][number % 4]
        body = b"x" * 3000 if lines.startswith("POST") else b""
        request = f"{lines} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.over:
            connection = connection or await asyncio.open_connection("127.0.0.1", self._port)
            try:
                connection[1].write(request)
                answer = await asyncio.wait_for(read_message(connection[0]), 20)
                came = f"{lines}: {answer.status}"
                keep = number % 8 < 4 and answer.fields.get("connection") != "close"
            except (OSError, EOFError, TimeoutError) as error:
                came, keep = f"{lines}: {error!r}", False
            self.statuses[came] += 1
            if not keep:
                connection[1].close()
                connection = None


@contextlib.contextmanager
def nginx_before(directory: Path, gateways: list[GatewayProcess]) -> Iterator[int]:
    """nginx with the shipped file, both gateways in its upstream; its port."""
    directory.mkdir()
    port = free_port()
    servers = "; server ".join(f"127.0.0.1:{gateway.port} max_fails=0" for gateway in gateways)
    command = configure(directory, port=port, gateway=servers, frontend="127.0.0.1:1")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        until(lambda: "start worker process " in (directory / "log").read_text(), 10)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_no_request_is_lost_by_a_rolling_update_behind_nginx(tmp_path: Path) -> None:
    """Two gateways are stopped and started again, one after the other and more than once, with nothing done to nginx:
    requests of each method, fast and slow, on kept and on new connections, are all answered with 200."""
    with backends(2) as (fast, slow), contextlib.ExitStack() as stack:
        await slow.become("delay=0.3")
        gateways = []
        for name in ("one", "two"):
            config = tmp_path / name / "config"
            config.mkdir(parents=True)
            (config / "middleware.yaml").write_text(DRAIN)
            (config / "routes.yaml").write_text(ROUTES.format(fast=fast.address, slow=slow.address))
            gateways.append(GatewayProcess(config))
            stack.callback(gateways[-1].stop)
            await asyncio.to_thread(gateways[-1].start)
        load = Load(stack.enter_context(nginx_before(tmp_path / "nginx", gateways)))
        running = asyncio.create_task(load.run())
        for number in range(2 * ROUNDS):
            share = REQUESTS * (number + 1) // (2 * ROUNDS + 1)
            await eventually(lambda share=share: load.statuses.total() >= share, 60)  # type: ignore[misc]
            gateway = gateways[number % 2]
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait, 30) == 0
            await asyncio.to_thread(gateway.start)
        await eventually(lambda: load.statuses.total() >= REQUESTS, 60)
        load.over = True
        await running
    assert set(load.statuses) == {"GET /api/x: 200", "POST /api/x: 200", "POST /api/slow: 200"}, load.statuses
