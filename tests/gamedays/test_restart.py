"""Restarts under load: of 20,000 requests none is lost, by takeover and by systemd's sockets."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gamedays.support import backends
from tests.server.test_systemd import activated
from tests.support import GatewayProcess, eventually
from tests.upstream.wire import read_message

REQUESTS = 20_000
CLIENTS = 32
RESTARTS = 3
DRAIN = "drain: {window: 200ms, deadline: 20s}\n"


class Load:
    """Clients that ask without a pause, half of them each time on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._port = port

    @property
    def over(self) -> bool:
        return self.answered + len(self.failures) >= REQUESTS

    async def run(self) -> None:
        await asyncio.gather(*(self._client(kept=number % 2 == 0) for number in range(CLIENTS)))

    async def _client(self, *, kept: bool) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.over:
            connection = connection or await asyncio.open_connection("127.0.0.1", self._port)
            try:
                connection[1].write(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = await asyncio.wait_for(read_message(connection[0]), 20)
                if answer.status != 200:
                    self.failures.append(str(answer.status))
                self.answered += answer.status == 200
                keep = kept and answer.fields.get("connection") != "close"
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append(repr(error))
                keep = False
            if not keep:
                connection[1].close()
                connection = None


async def by_takeover(config: Path, load: Load, former: GatewayProcess) -> None:
    """Each gateway takes over from the one before."""
    for number in range(RESTARTS):
        await eventually(_more(load, number), 60)
        gateway = GatewayProcess(config, former.port, former.admin_port, {}, ("--takeover",), logs=str(number))
        await asyncio.to_thread(gateway.start)
        assert await asyncio.to_thread(former.wait, 30) == 0
        former = gateway
    await eventually(lambda: load.over, 120)
    former.stop()


async def by_systemd(config: Path, load: Load, listener: socket.socket) -> None:
    """Each gateway is stopped before the next one is started, on the same socket."""
    for number in range(RESTARTS + 1):
        with activated(config, [listener], "http", "--admin", "off") as process:
            await eventually(_more(load, number), 60)
            if number == RESTARTS:
                await eventually(lambda: load.over, 120)
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 30)


def _more(load: Load, number: int) -> Callable[[], bool]:
    """The restarts are spread over the requests."""
    return lambda: load.answered + len(load.failures) >= REQUESTS * (number + 1) // (RESTARTS + 2)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["takeover", "systemd"])
async def test_no_request_of_20_000_is_lost(tmp_path: Path, way: str) -> None:
    """Three restarts while 32 clients ask without a pause: each request is answered with 200."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "middleware.yaml").write_text(DRAIN)
    with backends(1) as (backend,), socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        (config / "routes.yaml").write_text(f"routes:\n- path: /*\n  target: {backend.address}\n")
        port = listener.getsockname()[1]
        load = Load(port)
        if way == "takeover":
            listener.close()
            first = GatewayProcess(config, port, logs="first")
            await asyncio.to_thread(first.start)
            restarts = by_takeover(config, load, first)
        else:
            restarts = by_systemd(config, load, listener)
        await asyncio.gather(load.run(), restarts)
    assert load.failures == []
    assert load.answered >= REQUESTS
