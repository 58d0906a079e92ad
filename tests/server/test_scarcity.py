"""What many clients cost, and what happens when connections, memory or file descriptors run short."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from tests.cli.support import gateway as cli
from tests.lifecycle.support import admin_url, health
from tests.server.backend import Backend
from tests.server.client import Client, connected, statuses
from tests.support import GatewayProcess, eventually, running_gateway

ROUTES = "routes: [{{path: /e/*, target: '127.0.0.1:{port}'}}]"
GET = b"GET /e/x HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 2**20


@pytest.fixture
def roomy(backend: Backend, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway with the limits that it has by default."""
    with running_gateway(tmp_path, ROUTES.format(port=backend.port)) as gateway:
        yield gateway


async def connect(stack: AsyncExitStack, port: int, count: int, *, receive_buffer: int | None = None) -> list[Client]:
    """Many connections at a time."""
    return [await stack.enter_async_context(connected(port, receive_buffer=receive_buffer)) for _ in range(count)]


async def test_more_connections_than_allowed(backend: Backend, tmp_path: Path) -> None:
    """A connection over the limit gets a 503 with Retry-After; those within go on; a place that is free is given."""
    with running_gateway(tmp_path, ROUTES.format(port=backend.port), "limits: {connections: 5}") as gateway:
        async with AsyncExitStack() as stack:
            clients = [await served(stack, gateway.port) for _ in range(5)]
            async with connected(gateway.port) as sixth:
                await sixth.send(GET)
                answer = await sixth.answer()
                assert (answer.status, answer.problem) == (503, "overloaded")
                assert answer.headers[b"retry-after"] == b"1"
            await clients[0].send(GET)
            assert (await clients[0].answer()).status == 200
        await eventually_served(gateway.port)


async def test_the_limit_of_connections_is_seen_when_it_is_reached(backend: Backend, tmp_path: Path) -> None:
    """By `gateway status`, one line of the log, metrics, and `gateway last`, which tells nobody to explain what was
    never read."""
    with running_gateway(tmp_path, ROUTES.format(port=backend.port), "limits: {connections: 2}") as gateway:
        async with AsyncExitStack() as stack:
            for _ in range(2):
                await served(stack, gateway.port)
            for _ in range(3):
                async with connected(gateway.port) as third:
                    await third.send(GET)
                    assert (await third.answer()).status == 503
            (trouble,) = (await asyncio.to_thread(health, gateway))["failing"]
            assert re.match(
                r"3 clients refused in \d+ s, the last one \d+ s ago: \d of 2 connections are open", trouble
            )
            assert "raise limits.connections in middleware.yaml" in trouble
            assert gateway.log.count("a client is refused: more than 2 connections are open; raise") == 1
            metrics = (await asyncio.to_thread(httpx2.get, admin_url(gateway, "/metrics"), timeout=30)).text
            assert "gateway_client_connections_limit 2" in metrics
            assert re.search(r"^gateway_client_connections 2\.0$", metrics, re.MULTILINE)
            assert "gateway_client_connections_refused_total 3" in metrics
            said = await asyncio.to_thread(cli, "last", "--admin", f"127.0.0.1:{gateway.admin_port}")
            assert "overloaded: more than 2 connections are open" in said.stdout
            assert "explain" not in said.stdout


async def served(stack: AsyncExitStack, port: int) -> Client:
    """A connection that has its place, where one is free as soon as the gateway sees that those before have ended."""
    async with asyncio.timeout(30):
        while True:
            client = await stack.enter_async_context(connected(port))
            await client.send(GET)
            if (await client.answer()).status == 200:
                return client


async def eventually_served(port: int, seconds: float = 30.0) -> None:
    """Ask until the answer is 200."""
    end = time.monotonic() + seconds
    while True:
        try:
            async with connected(port) as client:
                await client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                if statuses(await client.rest(5)) == [200]:
                    return
        except (ConnectionError, TimeoutError):
            pass
        assert time.monotonic() < end, "it does not serve again"
        await asyncio.sleep(0.02)


async def test_idle_connections_are_cheap(roomy: GatewayProcess) -> None:
    """A thousand connections that have been used and now wait cost less than 16 KiB each."""
    async with AsyncExitStack() as stack:
        await eventually_served(roomy.port)
        before = roomy.memory()
        for client in await connect(stack, roomy.port, 1000):
            await client.send(GET)
            assert (await client.answer()).status == 200
        assert roomy.memory() - before < 1000 * 16 * 1024


@pytest.mark.parametrize("requests", [1, 100], ids=["once", "pipelined"])
async def test_clients_that_stop_reading_are_cheap(roomy: GatewayProcess, requests: int) -> None:
    """Forty clients that ask for a large response and do not read it cost less than 256 KiB each."""
    get_big = b"GET /e/big/%d HTTP/1.1\r\nHost: a\r\n\r\n" % (64 * MIB)
    async with AsyncExitStack() as stack:
        await eventually_served(roomy.port)
        before = roomy.memory()
        for client in await connect(stack, roomy.port, 40, receive_buffer=4096):
            await client.send(get_big * requests)
            await client.reader.readexactly(1)
            client.stop_reading()
        peak = 0
        for _ in range(20):
            await asyncio.sleep(0.05)  # memory has no event: look at it for a second
            peak = max(peak, roomy.memory())
        assert peak - before < 40 * 256 * 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_out_of_file_descriptors(roomy: GatewayProcess) -> None:
    """Without descriptors it neither spins nor floods the log, and serves again once there are some."""
    await eventually_served(roomy.port)
    open_now = len(os.listdir(f"/proc/{roomy.pid}/fd"))
    resource.prlimit(roomy.pid, resource.RLIMIT_NOFILE, (open_now + 20, open_now + 20))
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(100):
            try:
                clients.append(await stack.enter_async_context(connected(roomy.port)))
                await clients[-1].send(GET)
            except ConnectionError:
                pass
        await eventually(lambda: len(os.listdir(f"/proc/{roomy.pid}/fd")) >= open_now + 15)
        spent, lines = cpu_seconds(roomy.pid), roomy.log.count("\n")
        await asyncio.sleep(1)  # nothing is to happen in this second
        assert cpu_seconds(roomy.pid) - spent < 0.3
        assert roomy.log.count("\n") - lines < 10
    await eventually_served(roomy.port)
    assert "Traceback" not in roomy.log
