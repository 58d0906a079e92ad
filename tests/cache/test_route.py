"""What is stored is used again, as far as the response, the client and the route allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Response
from gateway.http.testing import Pieces
from tests.cache.support import Backend, Site, answer, body, said
from tests.middleware.support import header

FRESH = "max-age=60"


async def test_a_fresh_response_is_used_again() -> None:
    """The backend is asked once; the copy has its age, and says that it is one."""
    site = Site(Backend(answer("one", cache_control=FRESH), answer("two")))
    first = await site.ask()
    site.later(5)
    second = await site.ask()
    assert (body(first), body(second), site.backend.count) == ("one", "one", 1)
    assert said(first) == "gateway; fwd=miss; fwd-status=200; stored"
    assert said(second) == "gateway; hit; ttl=54" or said(second) == "gateway; hit; ttl=55"
    assert header(second, b"age") == [b"5"]
    assert header(second, b"content-length") == [b"3"]


async def test_without_a_lifetime_nothing_is_used_again() -> None:
    """A response that says nothing of it goes to one client."""
    site = Site(Backend(answer("one"), answer("two")))
    assert [body(await site.ask()), body(await site.ask())] == ["one", "two"]


async def test_a_route_that_allows_stale_answers_makes_none_of_what_has_no_lifetime() -> None:
    """`stale_while_revalidate` of the route lengthens a lifetime; a response without one still goes to one client."""
    routes = "- {id: test, path: /*, target: 'backend:80', cache: {stale_while_revalidate: 30s}}\n"
    site = Site(Backend(answer("one"), answer("two")), routes=routes)
    assert [body(await site.ask()), body(await site.ask())] == ["one", "two"]


async def test_other_requests_are_not_answered_by_it() -> None:
    """Path, query, a question mark with nothing behind it, host and scheme tell them apart."""
    site = Site(Backend(answer(cache_control=FRESH)))
    paths = ("/a", "/b", "/a?x=1", "/a?x=2", "/A")
    for path in paths * 2:
        await site.ask(path)
    bare, host, scheme = site.exchange(), site.exchange(), site.exchange()
    bare.bare_query = True
    host.host = "other.example.com"
    scheme.scheme = "http"
    for exchange in (bare, host, scheme):
        await site.send(exchange)
    assert site.backend.count == len(paths) + 3


async def test_a_streamed_response_is_stored_when_it_is_whole() -> None:
    """The client gets it piece by piece, the next one from the store."""
    site = Site(Backend(lambda _: Response(200, [(b"cache-control", b"max-age=60")], Pieces([b"a", b"b"]))))
    first = await site.ask()
    await site.settle()
    assert (body(first), body(await site.ask()), site.backend.count) == ("ab", "ab", 1)


async def test_a_client_that_goes_away_leaves_a_whole_response() -> None:
    """What was being stored is read to its end, and neither half of it is ever served."""
    site = Site(Backend(lambda _: Response(200, [(b"cache-control", b"max-age=60")], Pieces([b"a", b"b", b"c"]))))
    exchange = site.exchange()
    response = await site.policies[0].wrap(site.backend)(exchange)
    assert not isinstance(response.body, bytes)
    assert await response.body.read() == b"a"
    exchange.close()
    await site.settle()
    assert body(await site.ask()) == "abc"
    assert site.backend.count == 1


class Broken(Pieces):
    """A body that ends too soon."""

    async def read(self) -> bytes:
        piece = await super().read()
        if not piece:
            raise GatewayError(ErrorKind.UPSTREAM_RESET, "cut short")
        return piece


async def test_a_response_that_is_cut_short_is_not_stored() -> None:
    """Its client sees the end that it had, and no other client sees it at all."""
    lines = [(b"cache-control", b"max-age=60")]
    site = Site(Backend(lambda _: Response(200, list(lines), Broken([b"half"])), answer("whole", cache_control=FRESH)))
    with pytest.raises(GatewayError, match="cut short"):
        await site.ask()
    await site.settle()
    assert body(await site.ask()) == "whole"


async def test_what_is_too_large_is_passed_on() -> None:
    """Known before or only while it comes: it arrives whole, and is not stored."""
    pieces = [b"x" * 600] * 3
    length = (b"content-length", b"1800")

    def sized(*lines: tuple[bytes, bytes]) -> Callable[[Exchange], Response]:
        return lambda _: Response(200, [(b"cache-control", b"max-age=60"), *lines], Pieces(pieces))

    site = Site(Backend(sized(length), sized(), answer("small", cache_control=FRESH)), "cache: {max_body: 1KB}")
    for _ in range(2):
        assert body(await site.ask()) == "x" * 1800
        await site.settle()
    assert body(await site.ask()) == "small"
    assert site.cache.room.used == 0


async def test_trailers_reach_the_client_and_are_not_stored_without() -> None:
    """A response that has some goes to one client, who gets them."""
    site = Site(
        Backend(
            lambda _: Response(200, [(b"cache-control", b"max-age=60")], Pieces([b"a"], trailers=[(b"x-digest", b"1")]))
        )
    )
    exchange = site.exchange()
    response = await site.policies[0].wrap(site.backend)(exchange)
    assert not isinstance(response.body, bytes)
    assert [await response.body.read(), await response.body.read()] == [b"a", b""]
    assert response.body.trailers == [(b"x-digest", b"1")]
    exchange.close()
    await site.settle()
    await site.ask()
    assert site.backend.count == 2


async def test_a_stale_response_is_validated() -> None:
    """The backend is asked with the validators, and what it confirms is fresh again, with the headers that it sends."""
    site = Site(
        Backend(
            answer("one", cache_control="max-age=10", etag='"1"', x_old="yes"),
            answer("", 304, cache_control="max-age=20", etag='"1"', x_new="yes"),
        )
    )
    await site.ask()
    site.later(11)
    second = await site.ask(if_none_match='"9"')
    assert (body(second), said(second)) == ("one", "gateway; fwd=stale; fwd-status=304; stored")
    assert header(second, b"x-new") == header(second, b"x-old") == [b"yes"]
    sent = site.backend.asked[1]
    assert (b"if-none-match", b'"1"') in sent.extra_headers
    assert b"if-none-match" in sent.hidden_headers
    site.later(15)
    assert said(await site.ask()).startswith("gateway; hit")


async def test_a_stale_response_that_changed_is_replaced() -> None:
    """The new one is served and stored."""
    site = Site(
        Backend(answer("one", cache_control="max-age=10", etag='"1"'), answer("two", cache_control=FRESH, etag='"2"'))
    )
    await site.ask()
    site.later(11)
    assert [body(await site.ask()), body(await site.ask())] == ["two", "two"]
    assert site.backend.count == 2


async def test_a_304_for_something_else_is_not_taken() -> None:
    """A backend that confirms another version is asked for the whole."""
    site = Site(
        Backend(
            answer("one", cache_control="max-age=10", etag='"1"'),
            answer("", 304, etag='"2"'),
            answer("two", cache_control=FRESH, etag='"2"'),
        )
    )
    await site.ask()
    site.later(11)
    assert body(await site.ask()) == "two"
    assert all(name != b"if-none-match" for name, _ in site.backend.asked[2].extra_headers)


async def test_the_clients_conditions_are_answered_from_the_store() -> None:
    """Who has the version gets a 304, also where the backend was asked for the whole on the way."""
    site = Site(Backend(answer("one", cache_control=FRESH, etag='"1"', content_type="text/plain")))
    first = await site.ask(if_none_match='"1"')
    second = await site.ask(if_none_match='W/"1"')
    third = await site.ask(if_none_match='"2"')
    assert [first.status, second.status, third.status, site.backend.count] == [304, 304, 200, 1]
    assert header(second, b"etag") == [b'"1"']
    assert header(second, b"content-length") == []
    assert header(second, b"age") == [b"0"]


async def test_head_is_answered_from_a_whole_response() -> None:
    """With the length of the body, and without the body; a HEAD is stored for HEAD only."""
    site = Site(Backend(answer("", content_length="5", cache_control=FRESH), answer("12345", cache_control=FRESH)))
    assert header(await site.ask(method="HEAD"), b"content-length") == [b"5"]
    assert header(await site.ask(method="HEAD"), b"content-length") == [b"5"]
    assert site.backend.count == 1
    assert body(await site.ask()) == "12345"
    head = await site.ask(method="HEAD")
    assert (body(head), header(head, b"content-length"), site.backend.count) == ("", [b"5"], 2)


async def test_a_head_may_show_that_something_changed() -> None:
    """What is stored is not used any more, though it may be stale, when the backend says another version is there."""
    backend = Backend(
        answer("one", cache_control="max-age=10, stale-while-revalidate=99", etag='"1"'),
        answer("", cache_control="no-store", etag='"2"'),
        answer("two", cache_control=FRESH, etag='"2"'),
    )
    site = Site(backend)
    await site.ask()
    site.later(120)
    await site.ask(method="HEAD")
    assert site.cache.measures()["gateway_cache_resources"] == 0
    assert body(await site.ask()) == "two"


async def test_ranges_and_bodies_are_left_alone() -> None:
    """They go to the backend as they are, and so does what it answers."""
    site = Site(Backend(answer(cache_control=FRESH)))
    await site.ask()
    assert said(await site.ask(range="bytes=0-1")) == "gateway; fwd=bypass"
    assert said(await site.ask(if_match='"1"')) == "gateway; fwd=bypass"
    with_body = site.exchange()
    with_body.body = Pieces([b"x"])
    assert said(await site.send(with_body)) == "gateway; fwd=bypass"
    assert with_body.cache == "bypass"
    assert site.backend.count == 4


@pytest.mark.parametrize(
    ("wish", "count"),
    [
        ({"cache_control": "no-cache"}, 2),
        ({"pragma": "no-cache"}, 2),
        ({"cache_control": "no-store"}, 2),
        ({"cache_control": "max-age=3"}, 2),
        ({"cache_control": "min-fresh=100"}, 2),
        ({"cache_control": "max-age=30"}, 1),
        ({"cache_control": "only-if-cached"}, 1),
    ],
)
async def test_what_the_client_asks_for_counts(wish: dict[str, str], count: int) -> None:
    """A client may ask for a newer response than the one that is stored."""
    site = Site(Backend(answer(cache_control=FRESH)))
    await site.ask()
    site.later(5)
    await site.send(site.exchange(headers=wish.items()))
    assert site.backend.count == count


async def test_a_client_may_take_what_is_stale_and_may_want_only_that() -> None:
    """`max-stale` takes it, `only-if-cached` is a 504 where there is nothing."""
    site = Site(Backend(answer(cache_control="max-age=10")))
    await site.ask()
    site.later(15)
    assert said(await site.ask(cache_control="max-stale=10")).startswith("gateway; hit; ttl=-5")
    with pytest.raises(GatewayError) as caught:
        await site.ask(cache_control="only-if-cached")
    assert caught.value.kind is ErrorKind.NOT_CACHED
    assert site.backend.count == 1


async def test_variants_are_kept_apart() -> None:
    """What Vary names tells responses apart; the order of codings does not."""
    site = Site(
        Backend(
            lambda exchange: answer(
                str(exchange.fields.get(b"accept-encoding")), cache_control=FRESH, vary="Accept-Encoding"
            )
        )
    )
    plain = body(await site.ask())
    packed = body(await site.ask(accept_encoding="gzip, br"))
    assert plain != packed
    assert [body(await site.ask()), body(await site.ask(accept_encoding="br,gzip"))] == [plain, packed]
    assert site.backend.count == 2


async def test_variants_are_bounded() -> None:
    """A client that sends ever new values costs only variants of this resource."""
    site = Site(Backend(answer(cache_control=FRESH, vary="X-Any")), "cache: {size: 1MB}")
    await site.ask("/other")
    for number in range(200):
        await site.ask(x_any=str(number))
    count = site.backend.count
    await site.ask("/other")
    await site.ask(x_any="199")
    assert site.backend.count == count
    assert site.cache.store.measures()["gateway_cache_bytes"] < 1_000_000 / 16


async def test_unsafe_methods_remove_what_they_change() -> None:
    """A successful one, of its own resource and of those that it names on this host; a refused one does not."""
    put = [answer("", 204, location="/b", content_location="https://api.example.com/c?x=1")]
    refused = [answer("", 403)]
    gets = [answer(str(number), cache_control=FRESH) for number in range(8)]
    site = Site(Backend(*gets[:4], *refused, *put, *gets[4:]))
    for path in ("/a", "/b", "/c?x=1", "/d"):
        await site.ask(path)
    await site.ask(method="PUT")
    assert [body(await site.ask(path)) for path in ("/a", "/b", "/c?x=1", "/d")] == ["0", "1", "2", "3"]
    await site.ask(method="PUT")
    assert [body(await site.ask(path)) for path in ("/a", "/b", "/c?x=1", "/d")] == ["4", "5", "6", "3"]


async def test_a_route_without_cache_removes_what_it_changes() -> None:
    """Reading and writing are often two routes on one path."""
    routes = """
- {id: read, path: /*, methods: [GET], target: 'backend:80'}
- {id: write, path: /*, methods: [POST], target: 'backend:80'}
"""
    site = Site(
        Backend(answer("1", cache_control=FRESH), answer("", 201), answer("2")),
        "cache: {routes: [read]}",
        routes=routes,
    )
    await site.ask()
    await site.ask(method="POST", route=1)
    assert body(await site.ask()) == "2"


async def test_what_was_asked_for_before_a_change_is_not_stored() -> None:
    """A response that was on its way while the resource changed may be of before."""
    backend = Backend(answer("old", cache_control=FRESH), answer("new", cache_control=FRESH))
    backend.held = asyncio.Event()
    site = Site(backend)
    asking = asyncio.create_task(site.ask())
    await asyncio.sleep(0)
    await site.cache.invalidate("api.example.com /a")
    backend.held.set()
    assert body(await asking) == "old"
    assert body(await site.ask()) == "new"


@pytest.mark.parametrize("failure", [answer("", 503), GatewayError(ErrorKind.UPSTREAM_REFUSED, "dead")])
async def test_a_stale_response_replaces_an_error(failure: Response | Exception) -> None:
    """Where the response or the configuration allows it, for as long as it does; other errors are passed on."""
    site = Site(
        Backend(answer("one", cache_control="max-age=10, stale-if-error=20"), failure, failure, answer("", 404)),
    )
    await site.ask()
    site.later(20)
    response = await site.ask()
    assert (response.status, body(response)) == (200, "one")
    assert "fwd=stale" in said(response)
    site.later(15)
    failed = await asyncio.gather(site.ask(), return_exceptions=True)
    assert isinstance(failed[0], GatewayError) or (isinstance(failed[0], Response) and failed[0].status == 503)
    assert (await site.ask()).status == 404


async def test_a_failing_backend_is_not_asked_by_every_request() -> None:
    """For a moment after a failure the stale response is used at once."""
    backend = Backend(answer("one", cache_control="max-age=10"), answer("", 500))
    site = Site(backend, "cache: {stale_if_error: 1m}")
    await site.ask()
    site.later(20)
    for _ in range(20):
        assert body(await site.ask()) == "one"
    assert backend.count == 2


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=10"])
async def test_what_must_not_be_stale_is_not(directive: str) -> None:
    """The configuration does not overrule the response."""
    backend = Backend(answer("one", cache_control=f"max-age=10, {directive}", etag='"1"'), answer("", 503))
    site = Site(backend, "cache: {stale_if_error: 1h, stale_while_revalidate: 1h}")
    await site.ask()
    site.later(20)
    assert (await site.ask(cache_control="max-stale")).status == 503
    assert await site.policies[0].route.stale(site.exchange()) is None  # type: ignore[union-attr]


async def test_a_stale_response_is_used_while_a_new_one_comes() -> None:
    """No client waits for the backend, which is asked once, and what it answers is used from then on."""
    backend = Backend(
        answer("one", cache_control="max-age=10, stale-while-revalidate=20"), answer("two", cache_control=FRESH)
    )
    site = Site(backend)
    await site.ask()
    site.later(15)
    backend.held = asyncio.Event()
    assert [body(await site.ask()) for _ in range(3)] == ["one"] * 3
    backend.held.set()
    await site.settle()
    assert (body(await site.ask()), backend.count) == ("two", 2)


async def test_what_is_stale_from_the_beginning_may_be_of_use() -> None:
    """`max-age=0` with `stale-while-revalidate`: no client waits, and each use asks for a new one."""
    backend = Backend(
        *(answer(str(number), cache_control="max-age=0, stale-while-revalidate=60") for number in range(9))
    )
    site = Site(backend)
    got = []
    for _ in range(3):
        got.append(body(await site.ask()))
        await site.settle()
    assert got == ["0", "0", "1"]


async def test_a_stale_copy_is_there_for_a_fallback() -> None:
    """However old, as long as it is kept, also where the response says nothing; but not what must not be stale."""
    backend = Backend(answer("one"), answer("", 503), answer("mine", cache_control="must-revalidate"))
    site = Site(backend, routes="- {id: test, path: /*, target: 'backend:80', fallback: {stale: true}}\n")
    route = site.policies[0].route
    assert route is not None
    stale = route.stale
    assert await stale(site.exchange()) is None
    await site.ask()
    site.later(1000)
    assert (await site.ask()).status == 503
    copy = await stale(site.exchange())
    assert copy is not None
    assert (body(copy), header(copy, b"age")) == ("one", [b"1000"])
    assert await stale(site.exchange(headers=[("cookie", "a=b")])) is None
    await site.ask("/b")
    assert await stale(site.exchange("/b")) is None


async def test_what_a_fallback_answers_is_not_stored() -> None:
    """Nor does it remove what is; a stale response that may replace an error goes before it."""

    def fallen(exchange: Exchange) -> Response:
        exchange.decisions += (Decision("fallback", "allow", "a fixed 200 in the place of upstream-refused"),)
        return answer("soon", cache_control=FRESH)

    backend = Backend(fallen, answer("one", cache_control="max-age=10, stale-if-error=20"), fallen, fallen, fallen)
    site = Site(backend)
    assert [body(await site.ask()), body(await site.ask())] == ["soon", "one"]
    site.later(15)
    assert body(await site.ask()) == "one"
    site.later(100)
    last = await site.ask()
    assert (body(last), said(last)) == ("soon", "gateway; fwd=stale")
    assert site.cache.counts.stored == 1


async def test_a_split_is_part_of_the_key() -> None:
    """What one of the services of a route answers is not what the clients of another one get."""
    routes = "- {id: test, path: /*, target: 'a:1', split: [{target: 'a:1', weight: 1}, {target: 'b:1', weight: 1}]}\n"
    site = Site(Backend(lambda exchange: answer(exchange.client, cache_control=FRESH)), routes=routes)
    route = site.policies[0].route
    assert route is not None
    route.split_by(lambda exchange: "a" if exchange.client < "192.0.2.2" else "b")
    got = []
    for number in (0, 3, 1, 4):
        exchange = site.exchange()
        exchange.client = f"192.0.2.{number}"
        got.append(body(await site.send(exchange)))
    assert got == ["192.0.2.0", "192.0.2.3", "192.0.2.0", "192.0.2.3"]


async def test_a_clock_that_goes_back_makes_nothing_younger() -> None:
    """What came with an age keeps at least that."""
    site = Site(Backend(answer(cache_control=FRESH, age="50")))
    await site.ask()
    site.later(-100)
    assert header(await site.ask(), b"age") == [b"50"]


async def test_what_the_route_says_goes_before_the_file() -> None:
    """A route has a cache by itself, or none though others have."""
    routes = """
- {id: on, path: /on, target: 'backend:80', cache: {vary: [x-region]}}
- {id: off, path: /off, target: 'backend:80', cache: false}
"""
    site = Site(Backend(answer(cache_control=FRESH)), "cache: {routes: ['o*f']}", routes=routes)
    assert site.policies[0].route is not None
    assert site.policies[1].route is None
    await site.ask(x_region="a")
    await site.ask(x_region="b")
    await site.ask(x_region="b")
    assert site.backend.count == 2


async def test_it_is_explained() -> None:
    """What would be done, and why."""
    site = Site(Backend(answer(cache_control=FRESH)))
    policy = site.policies[0]
    for expected in (
        "nothing is stored for it",
        "a stored response is used: its age is 0 s, its lifetime 60 s",
    ):
        decision = await policy.explain(site.exchange())
        assert decision is not None
        assert decision.reason == expected
        await site.ask()
    decision = await policy.explain(site.exchange(headers=[("cookie", "a=b")]))
    assert decision is not None
    assert decision.reason == "passed by: it has an identity or a credential"
    assert site.backend.count == 1


async def test_it_is_counted() -> None:
    """Metrics tell hits, misses, and what is stored."""
    site = Site(Backend(answer(cache_control=FRESH)))
    for _ in range(3):
        await site.ask()
    await site.ask(range="bytes=0-0")
    measures = site.cache.measures()
    names = ("hits", "misses", "stored", "bypassed")
    assert [measures[f"gateway_cache_{name}_total"] for name in names] == [2, 1, 1, 1]
    assert measures["gateway_cache_bytes"] > 0
