"""Gateways with the same Redis share what is stored, and none of them needs it."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.algorithms.http_cache.terms import terms_of
from gateway.algorithms.http_cache.vary import variant
from gateway.cache.memory import MemoryStore
from gateway.cache.redis import RedisStore, pack, unpack
from gateway.cache.store import MOST_VARIANTS, Key, Purge, Store, Stored, VariantOf
from gateway.http import Headers
from tests.outside.support import linked
from tests.redis_server import RedisServer

KEY = Key("api.example.com /a?x=é", "test backend:80 GET 1")
HOUR = 3600.0


def response(body: bytes = b"x", *, vary: tuple[bytes, ...] = (), request: Headers | None = None) -> Stored:
    headers: Headers = [(b"cache-control", b"max-age=60"), (b"x-any", b"\xe9")]
    return Stored(200, tuple(headers), body, 1.5, 0, vary, variant(vary, request or []), terms_of(200, headers, 0))


def asked(**fields: str) -> VariantOf:
    request = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return lambda names: variant(names, request)


def lines(**fields: str) -> Headers:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]


async def found(store: Store, key: Key = KEY, **fields: str) -> bytes | None:
    stored = await store.find(key, asked(**fields))
    return None if stored is None else stored.body


async def test_what_one_stores_another_finds(redis: RedisServer) -> None:
    """All of it, with an age by the clock of Redis, which is one for all."""
    async with linked(redis, prefix="share:") as one, linked(redis, prefix="share:") as two:
        first, second = RedisStore(one, 10**6), RedisStore(two, 10**6)
        made, began = response(b"\x00\xffbody"), time.monotonic()
        assert await first.keep(KEY, made, HOUR)
        stored = await second.find(KEY, asked())
        assert stored is not None
        assert (stored.status, stored.headers, stored.body, stored.terms) == (200, made.headers, made.body, made.terms)
        assert 1.5 <= stored.age(second.now()) < 4 + time.monotonic() - began
        await second.drop(KEY.resource)
        assert await found(first) is None


async def test_variants_are_found_by_what_vary_names(redis: RedisServer) -> None:
    """Also by a gateway that has not seen what it names; another Vary takes the place of all."""
    async with linked(redis, prefix="vary:") as link:
        store = RedisStore(link, 10**6)
        for kind in ("a", "b"):
            await store.keep(KEY, response(kind.encode(), vary=(b"x-kind",), request=lines(x_kind=kind)), HOUR)
        for each in (store, RedisStore(link, 10**6)):
            assert [await found(each, x_kind=kind) for kind in ("a", "b", "c")] == [b"a", b"b", None]
        await store.keep(KEY, response(b"new"), HOUR)
        assert await found(RedisStore(link, 10**6), x_kind="a") == b"new"


async def test_it_is_bounded(redis: RedisServer) -> None:
    """In bytes, of which all gateways together count theirs, and in variants of one resource."""
    async with linked(redis, prefix="bound:") as link:
        store = RedisStore(link, 100_000)
        for number in range(50):
            key = Key(f"api.example.com /{number}", KEY.selector)
            await store.keep(key, response(b"x" * 9_000), HOUR + number)
        measures = store.measures()
        assert 50_000 < measures["gateway_cache_bytes"] <= 100_000
        assert measures["gateway_cache_evicted_total"] >= 39
        assert await found(store, Key("api.example.com /49", KEY.selector)) is not None
        assert await found(store, Key("api.example.com /1", KEY.selector)) is None
        for number in range(200):
            await store.keep(KEY, response(vary=(b"x",), request=lines(x=str(number))), 2 * HOUR)
        kept = [await found(store, x=str(number)) for number in range(200)]
        assert kept[-1] is not None
        assert sum(each is not None for each in kept) <= MOST_VARIANTS + 1
        everything = await store.purge(Purge())
        assert everything is not None
        await store.keep(KEY, response(), HOUR)
        assert store.measures()["gateway_cache_bytes"] < 2_000


async def test_what_is_over_is_gone(redis: RedisServer) -> None:
    """And does not count any more."""
    async with linked(redis, prefix="over:") as link:
        store = RedisStore(link, 10**6)
        await store.keep(KEY, response(b"x" * 10_000), 0.02)
        await asyncio.sleep(0.05)
        assert await found(store) is None
        await store.keep(Key("api.example.com /b", KEY.selector), response(), HOUR)
        assert store.measures()["gateway_cache_bytes"] < 5_000


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_purge_removes_what_is_meant(redis: RedisServer, kind: str) -> None:
    """By route, host, path and prefix, alone or together; the same in memory and in Redis."""
    keys = [
        Key(f"{host} {path}", f"{route} t GET 1")
        for host in ("a.example", "b.example")
        for path in ("/v1/x", "/v1/x?q=1", "/v1/xy", "/v2/x")
        for route in ("one", "two")
    ]
    cases = [
        (Purge(), 16),
        (Purge(route="one"), 8),
        (Purge(path="/v1/x"), 8),
        (Purge(path="/v1/x?q=1"), 4),
        (Purge(prefix="/v1/"), 12),
        (Purge(host="A.example", prefix="/v1/x", route="two"), 3),
        (Purge(host="c.example"), 0),
    ]
    async with linked(redis, prefix="purge:") as link:
        store: Store = RedisStore(link, 10**7) if kind == "redis" else MemoryStore(10**7)
        for purge, count in cases:
            for key in keys:
                await store.keep(key, response(), HOUR)
            assert await store.purge(purge) == count
            left = [key for key in keys if await found(store, key) is None]
            assert len(left) == count
            assert all(purge.fits(key.resource) and purge.fits_route(key.selector) for key in left)
            await store.purge(Purge())


async def test_a_redis_that_is_away_is_as_one_that_is_empty(own_redis: RedisServer) -> None:
    """Nothing is found or kept, nothing fails, and a purge says that it did not happen."""
    async with linked(own_redis, seconds=0.05) as link:
        store = RedisStore(link, 10**6)
        own_redis.kill()
        assert await found(store) is None
        assert not await store.keep(KEY, response(), HOUR)
        await store.drop(KEY.resource)
        assert await store.purge(Purge()) is None


def test_what_is_no_response_is_not_taken_for_one() -> None:
    """That of another version, or of another program."""
    packed = pack(response(b"body"))
    assert unpack(packed, 0) == response(b"body")
    for data in (
        b"",
        b"x",
        b"[]\nx",
        b"{}\n",
        b"null\n",
        packed.replace(b"[1,", b"[9,", 1),
        packed[:20],
        b"[1,2,3,4,5,6,7]\n",
    ):
        assert unpack(data, 0) is None
