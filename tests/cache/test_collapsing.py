"""Requests for the same wait for one, and for no longer than they must."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Response
from gateway.http.testing import Pieces
from tests.cache.support import Backend, Site, answer, body, said

FRESH = "max-age=60"


async def asking(site: Site, count: int, **headers: str) -> list[asyncio.Task[Response]]:
    """So many requests, each as far as it gets before the backend answers."""
    tasks = [asyncio.create_task(site.send(site.exchange(headers=headers.items()))) for _ in range(count)]
    for _ in range(10):
        await asyncio.sleep(0)
    return tasks


async def test_one_request_is_made_for_all() -> None:
    """Those who come while it is on its way get what it brings, and say so."""
    backend = Backend(answer("one", cache_control=FRESH))
    backend.held = asyncio.Event()
    site = Site(backend)
    tasks = await asking(site, 20)
    assert backend.count == 1
    backend.held.set()
    responses = await asyncio.gather(*tasks)
    assert {body(response) for response in responses} == {"one"}
    assert sum("collapsed" in said(response) for response in responses) == 19
    assert (backend.count, site.cache.counts.collapsed) == (1, 19)


async def test_a_client_that_disconnects_delays_no_other() -> None:
    """Another of those who wait asks in its place."""
    backend = Backend(answer("one", cache_control=FRESH))
    backend.held = asyncio.Event()
    site = Site(backend)
    first, *others = await asking(site, 5)
    first.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert backend.count == 2
    backend.held.set()
    assert {body(response) for response in await asyncio.gather(*others)} == {"one"}
    assert backend.count == 2


async def test_a_client_that_disconnects_within_a_body_delays_no_other() -> None:
    """The others get the whole of it."""
    more = asyncio.Event()

    class Slow(Pieces):
        async def read(self) -> bytes:
            piece = await super().read()
            if piece == b"b":
                await more.wait()
            return piece

    backend = Backend(lambda _: Response(200, [(b"cache-control", b"max-age=60")], Slow([b"a", b"b"])))
    site = Site(backend)
    first, *others = await asking(site, 4)
    first.cancel()
    await asyncio.wait([first])
    more.set()
    assert {body(response) for response in await asyncio.gather(*others)} == {"ab"}
    assert backend.count == 1


async def test_a_slow_client_delays_no_other() -> None:
    """What is stored is read as fast as the backend sends it, however slowly its own client reads."""
    backend = Backend(lambda _: Response(200, [(b"cache-control", b"max-age=60")], Pieces([b"x" * 1000] * 50)))
    site = Site(backend)
    slow = site.exchange()
    await site.policies[0].wrap(backend)(slow)  # whose body is not read
    assert body(await site.ask()) == "x" * 50_000
    assert backend.count == 1
    slow.close()


async def test_what_cannot_be_shared_is_asked_for_side_by_side() -> None:
    """The others go as soon as that is known, and from then on no request waits for another."""
    backend = Backend(answer("mine", cache_control="private"))
    backend.held = asyncio.Event()
    site = Site(backend)
    tasks = await asking(site, 5)
    assert backend.count == 1
    backend.held.set()
    await asyncio.gather(*tasks)
    assert backend.count == 5
    backend.held = asyncio.Event()
    tasks = await asking(site, 5)
    assert backend.count == 10
    backend.held.set()
    await asyncio.gather(*tasks)


async def test_what_is_not_shared_keeps_its_conditions() -> None:
    """The backend may answer them with a 304, which saves the body."""
    backend = Backend(answer("mine", cache_control="private", etag='"1"'), answer("", 304))
    site = Site(backend)
    await site.ask()
    assert (await site.ask(if_none_match='"1"')).status == 304
    assert b"if-none-match" not in backend.asked[1].hidden_headers


async def test_no_request_waits_for_ever() -> None:
    """After `wait`, a request asks for itself, and others wait for that one from then on."""
    stuck = asyncio.Event()
    backend = Backend(answer("one", cache_control=FRESH))
    backend.held = stuck
    site = Site(backend, "cache: {wait: 50ms}")
    (first,) = await asking(site, 1)
    backend.held = None
    assert body(await site.ask()) == "one"
    assert backend.count == 2
    stuck.set()
    await first


async def test_an_error_is_not_shared() -> None:
    """What one request made fail need not fail another: each asks for itself."""
    backend = Backend(GatewayError(ErrorKind.UPSTREAM_RESET, "reset"), answer("fine"))
    backend.held = asyncio.Event()
    tasks = await asking(Site(backend), 3)
    backend.held.set()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, GatewayError)
    assert [body(other) for other in others if isinstance(other, Response)] == ["fine", "fine"]


async def test_after_an_error_requests_are_shared_again() -> None:
    """A moment of failure is no reason to ask for each of what can be shared."""
    backend = Backend(answer("", 503), answer("fine", cache_control=FRESH))
    site = Site(backend)
    await site.ask()
    backend.held = asyncio.Event()
    tasks = await asking(site, 5)
    backend.held.set()
    assert {body(response) for response in await asyncio.gather(*tasks)} == {"fine"}
    assert backend.count == 2


async def test_a_backend_that_fails_is_not_asked_for_each_stale_response() -> None:
    """What is refreshed in the background is left alone for a moment after a failure."""
    backend = Backend(
        answer("one", cache_control="max-age=10, stale-while-revalidate=60"),
        GatewayError(ErrorKind.UPSTREAM_REFUSED, "dead"),
    )
    site = Site(backend)
    await site.ask()
    site.later(20)
    for _ in range(5):
        assert body(await site.ask()) == "one"
        await site.settle()
    assert backend.count == 2


async def test_variants_do_not_wait_for_each_other_for_ever() -> None:
    """When it is known what tells requests apart, those of one kind share one request."""

    def reply(exchange: Exchange) -> Response:
        return answer(exchange.fields[b"x-kind"].decode(), cache_control=FRESH, vary="X-Kind")

    backend = Backend(reply)
    backend.held = asyncio.Event()
    site = Site(backend)
    tasks = [*await asking(site, 5, x_kind="a"), *await asking(site, 5, x_kind="b")]
    assert backend.count == 1
    backend.held.set()
    assert [body(response) for response in await asyncio.gather(*tasks)] == ["a"] * 5 + ["b"] * 5
    assert backend.count == 2


@pytest.mark.parametrize("control", ["max-age=0", "no-cache"])
async def test_what_is_stale_at_once_is_no_queue(control: str) -> None:
    """Requests for what must be validated each time do not wait one behind the other."""
    backend = Backend(answer("one", cache_control=control, etag='"1"'), answer("", 304, cache_control=control))
    site = Site(backend)
    await site.ask()
    backend.held = asyncio.Event()
    tasks = await asking(site, 5)
    backend.held.set()
    await asyncio.gather(*tasks)
    assert backend.count == 6
