"""A link to a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.outside.redis_link import RedisLink
from tests.redis_server import RedisServer
from tests.support import eventually


@asynccontextmanager
async def linked(server: RedisServer, seconds: float = 5.0, prefix: str = "gateway:") -> AsyncIterator[RedisLink]:
    """A link to this Redis, that is up, knows how many replicas there are, and is patient unless it matters."""
    link = RedisLink(server.url, seconds, prefix)
    await link.start()
    await eventually(lambda: link.replicas > 0 and link.answers)
    try:
        yield link
    finally:
        await link.stop()
