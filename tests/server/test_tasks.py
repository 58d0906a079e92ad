"""Requests are answered in tasks that have answered others, which shows in nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.server.client import connected
from tests.support import GatewayProcess

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
ROUTES = """
routes:
- {path: /custom, respond: {status: 204}}
"""


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[GatewayProcess]:
    config = directory / "config"
    config.mkdir()
    (config / "p.py").write_text(POLICY)
    gateway = GatewayProcess(config)
    gateway.write(ROUTES, "policies: {mine: {class: 'p.py:Policy'}}")
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
