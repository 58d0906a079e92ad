"""Requests are answered without a task, or in one that has answered others, which shows in nothing."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.client import connected
from tests.support import GatewayProcess, eventually, until

POLICY = """
from asyncio import current_task
from contextvars import ContextVar
from gateway.http import Exchange, Handler, Response

CALLER = ContextVar("caller", default="nobody")


class Policy:
    def wrap(self, handler: Handler) -> Handler:
        async def handle(exchange: Exchange) -> Response:
            task = current_task()
            found = f"{CALLER.get()} {task.get_name() == 'mine'}".encode()
            CALLER.set(exchange.query.decode())
            task.set_name("mine")
            return Response(200, [(b"content-length", b"%d" % len(found))], found)

        return handle
"""
HANGING = """
from asyncio import Event
from gateway.http import Exchange, Handler, Response


class Policy:
    def wrap(self, handler: Handler) -> Handler:
        async def handle(exchange: Exchange) -> Response:
            await Event().wait()
            return await handler(exchange)

        return handle
"""
ROUTES = """
routes:
- {path: /custom, respond: {status: 204}}
- {path: /plain, respond: {status: 204}}
"""


@contextlib.contextmanager
def serving(directory: Path, policy: str = POLICY) -> Iterator[GatewayProcess]:
    config = directory / "config"
    config.mkdir()
    (config / "p.py").write_text(policy)
    gateway = GatewayProcess(config)
    gateway.write(ROUTES, "policies: {mine: {class: 'p.py:Policy', routes: [custom]}}")
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()


async def test_the_next_request_finds_nothing_of_the_one_before(tmp_path: Path) -> None:
    """What a custom policy leaves in a context variable, or in its task, the next request of the connection has not."""
    ask = b"GET /custom?%b HTTP/1.1\r\nHost: a\r\n\r\n"
    with serving(tmp_path) as gateway:
        async with connected(gateway.port) as client:
            await client.send(ask % b"alice" + ask % b"bob")  # as a pipeline, too
            bodies = [(await client.answer()).body, (await client.answer()).body]
            await client.send(ask % b"carol")
            bodies.append((await client.answer()).body)
    assert bodies == [b"nobody False"] * 3


async def test_a_client_that_leaves_before_the_task_of_its_request_begins(tmp_path: Path) -> None:
    """Its request ends, and is logged, as when it leaves later: nothing of it stays counted as in flight."""
    plain, custom = (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in (b"plain", b"custom"))
    with serving(tmp_path, HANGING) as gateway:
        async with contextlib.AsyncExitStack() as opened:
            clients = [await opened.enter_async_context(connected(gateway.port)) for _ in range(20)]
            for client in clients:
                await client.send(plain)
                await client.answer()
            gateway.signal(signal.SIGSTOP)  # so that what clients send and their end come in one turn of the loop
            until(lambda: Path(f"/proc/{gateway.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
            for client in clients:
                await client.send(plain + custom)
                client.reset()
            gateway.signal(signal.SIGCONT)
            await eventually(lambda: gateway.access_log.count("client-gone") == len(clients))
        assert "Traceback" not in gateway.log


READING = """
import asyncio
import logging
from contextlib import suppress


class Policy:
    def wrap(self, handler):
        async def handle(exchange):
            if exchange.query == b"beside":
                asyncio.create_task(self.read(exchange.body))
            child = asyncio.create_task(asyncio.sleep(0.2))
            logging.getLogger("gateway.mine").warning("asked")
            with suppress(asyncio.CancelledError):
                await child
            await exchange.body.read()
            await exchange.body.read()
            return await handler(exchange)

        return handle

    async def read(self, body):
        while await body.read():
            pass
"""


@pytest.mark.parametrize("query", [b"", b"beside"])
async def test_who_reads_the_body_of_a_client_that_left_learns_of_it(tmp_path: Path, query: bytes) -> None:
    """Also in a policy that has caught the cancellation, which comes only once: its request ends, and is logged."""
    half = b"POST /custom?%b HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n1234567890" % query
    with serving(tmp_path, READING) as gateway:
        async with contextlib.AsyncExitStack() as opened:
            clients = [await opened.enter_async_context(connected(gateway.port)) for _ in range(10)]
            for client in clients:
                await client.send(half)
            await eventually(lambda: gateway.log.count("asked") == len(clients))
            for client in clients:
                client.reset()
            await eventually(lambda: gateway.access_log.count("client-gone") == len(clients))
