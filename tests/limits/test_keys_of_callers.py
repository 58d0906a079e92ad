"""Rate limits of callers with API keys, whose slots are remembered with their keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.context import Context
from gateway.errors import GatewayError
from gateway.http import Exchange, Response
from gateway.limits.memory import MemoryStore
from gateway.live import Owner
from gateway.middleware import authentication, rate_limit
from gateway.middleware.rate_limit import RateLimits
from tests.auth.support import key_hash, request
from tests.config.support import parsed

ROUTES = "- {path: /x, target: 'a:80'}"
DAY = 86400


class Gateway:
    """A route with keys and one limit, which may be loaded again; what clients get from it."""

    def __init__(self) -> None:
        self._owner = Owner()

    async def load(self, keys: Mapping[str, Sequence[str]], limits: str, store: MemoryStore | None = None) -> None:
        """From now on these consumers have these keys, and the limit is this, in this store if one is given."""
        consumers = [{"name": name, "keys": [key_hash(_long(key)) for key in held]} for name, held in keys.items()]
        auth = {"schemes": {"keys": {"api_key": {"header": "X-API-Key"}}}, "default": ["keys"], "consumers": consumers}
        middleware = f"rate_limits: {{main: {{limits: [{limits}]}}}}"
        configuration = parsed(ROUTES, middleware=middleware, auth=json.dumps(auth), base=Path("/nowhere"))
        context = Context(configuration, self._owner.plan())
        route = configuration.routes.routes[0]
        limited = rate_limit.for_route(context, route)
        assert limited is not None
        await self._owner.adopt(context.plan)
        if store is not None:
            limited = RateLimits((replace(limited.local[0], store=store),), (), None, None)

        async def backend(_: Exchange) -> Response:
            return Response(200, [])

        self._handle = authentication.for_route(context, route).wrap(limited.wrap(backend))

    async def ask(self, *keys: str) -> list[int]:
        """The status of a request with each of these keys."""
        return [await self._status(key) for key in keys]

    async def _status(self, key: str) -> int:
        try:
            return (await self._handle(request([(b"x-api-key", _long(key).encode())]))).status
        except GatewayError as error:
            return error.kind.status


def _long(key: str) -> str:
    return f"gw_{key}-key-that-is-long-enough-to-be-one"


def a_day_passes(store: MemoryStore) -> None:
    for slot in store.table.slots():
        slot.put(DAY, 0)


async def test_all_keys_of_a_consumer_count_together() -> None:
    """They are used in turn, and others are not concerned."""
    gateway = Gateway()
    await gateway.load({"app": ["a", "b"], "other": ["c"]}, "4/d")
    assert await gateway.ask("a", "b", "a", "b", "a", "b", "c") == [200, 200, 200, 200, 429, 429, 200]


async def test_what_was_counted_of_a_key_outlives_reloads() -> None:
    """The consumer has another key afterwards, or is away for a while."""
    gateway = Gateway()
    await gateway.load({"app": ["a"]}, "3/d")
    assert await gateway.ask("a") == [200]
    await gateway.load({"app": ["b"]}, "3/d")
    assert await gateway.ask("a", "b") == [401, 200]
    await gateway.load({"other": ["c"]}, "3/d")
    assert await gateway.ask("b", "c") == [401, 200]
    await gateway.load({"app": ["a", "b"]}, "3/d")
    assert await gateway.ask("a", "b") == [200, 429]


async def test_a_key_counts_with_its_consumer_after_its_slot_went() -> None:
    """What two keys of a consumer count is one, also if others took the room of its slot between."""
    gateway, store = Gateway(), MemoryStore(most=1)
    await gateway.load({"app": ["a", "b"], "other": ["c"]}, "1/d", store)
    assert await gateway.ask("a") == [200]
    a_day_passes(store)
    assert await gateway.ask("c") == [200]
    a_day_passes(store)
    assert await gateway.ask("b", "a") == [200, 429]


async def test_newcomers_with_keys_count_for_themselves_when_there_is_room_again() -> None:
    """In a full table they count together, and no longer than that."""
    gateway, store = Gateway(), MemoryStore(most=2)
    await gateway.load({"app": ["a"], "one": ["b"], "two": ["c"], "three": ["d"]}, "1/d", store)
    assert await gateway.ask("a", "b", "c", "d") == [200, 200, 200, 429]
    a_day_passes(store)
    assert await gateway.ask("c", "d") == [200, 200]
