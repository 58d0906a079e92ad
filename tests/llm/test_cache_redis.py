"""Answers that several gateways use again, of the same Redis; and what becomes of requests without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from gateway.demo_models import DemoModels, serving
from tests.redis_server import RedisServer, running_redis

from .support import Answered, Gateway, chat, gateway
from .test_cache import AUTH, CLOSED, MODELS

SHARED = "redis: {url: '%s', timeout: 1s}\ncache: {store: redis}\n"


@asynccontextmanager
async def two_gateways(redis: RedisServer, cache: str = "{}") -> AsyncIterator[tuple[Gateway, Gateway, DemoModels]]:
    """Of the same configuration."""
    provider = DemoModels()
    async with AsyncExitStack() as opened:
        port = await opened.enter_async_context(serving(provider))
        models, middleware = MODELS % (port, cache), SHARED % redis.url
        one, two = [
            await opened.enter_async_context(gateway(models, routes=CLOSED, auth=AUTH, middleware=middleware))
            for _ in range(2)
        ]
        yield one, two, provider


async def ask(made: Gateway, name: str, *, stream: bool = False) -> Answered:
    key = [("authorization", f"Bearer key-of-{name}-0123456789")]
    return await made.ask("/v1/chat/completions", chat(stream=stream), headers=key)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_of_one_gateway_is_used_by_another(stream: bool, tmp_path: Path) -> None:
    """Byte for byte and at no cost, for its tenant, and for no other."""
    with running_redis(tmp_path) as redis:
        async with two_gateways(redis) as (one, two, provider):
            first = await ask(one, "ann", stream=stream)
            again = await ask(two, "ann", stream=stream)
            other = await ask(two, "eve", stream=stream)
            assert len(provider.received) == 2
    assert [each.headers["x-gateway-cache"] for each in (first, again, other)] == ["miss", "hit", "miss"]
    assert again.body == first.body
    assert (again.noted.committed_tokens, again.noted.cost_micros, again.noted.finished) == (0, 0, True)


async def test_tenants_share_across_gateways_where_they_are_to(tmp_path: Path) -> None:
    """With `shared_by: tenant`."""
    with running_redis(tmp_path) as redis:
        async with two_gateways(redis, "{shared_by: tenant}") as (one, two, _):
            said = [await ask(made, name) for made, name in ((one, "ann"), (two, "bob"), (two, "eve"))]
    assert [each.headers["x-gateway-cache"] for each in said] == ["miss", "hit", "miss"]


async def test_without_redis_providers_answer(tmp_path: Path) -> None:
    """As if nothing were kept: the client notices nothing else."""
    with running_redis(tmp_path) as redis:
        async with two_gateways(redis) as (one, _, provider):
            await ask(one, "ann")
            redis.kill()
            gone = await ask(one, "ann")
            assert len(provider.received) == 2
    assert (gone.status, gone.headers["x-gateway-cache"]) == (200, "miss")
    assert gone.noted.finished
