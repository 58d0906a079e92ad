"""Nothing of one caller reaches another, and no client can put into the cache what others then get."""

from __future__ import annotations

import pytest

from gateway.http import Exchange, Identity, Response
from gateway.http.header_filter import HeaderFilter
from gateway.http.messages import Attempt
from tests.cache.support import Backend, Site, answer, body
from tests.middleware.support import errors

FRESH = "max-age=60"

AUTH = """
schemes:
  keys: {api_key: {header: X-Key, query: key, cookie: key}}
  token:
    introspection: {url: 'http://127.0.0.1:1/', from: {header: X-Token, query: token}}
  asked: {forward_auth: {url: 'http://127.0.0.1:1/', request_headers: [x-session]}}
  proxy: {mtls: {source: x-forwarded-client-cert}}
trusted_proxies: [10.0.0.0/8]
"""
OPEN = "- {id: test, path: /*, target: 'backend:80', auth: []}\n"
ALLOWED = "- {id: test, path: /*, target: 'backend:80', auth: [], cache: {with_credentials: true}}\n"


def site(backend: Backend, routes: str = OPEN) -> Site:
    return Site(backend, routes=routes, sources={"auth.yaml": AUTH})


async def numbers(it: Site, *exchanges: Exchange) -> list[str]:
    """What each of these gets from a backend that counts its answers."""
    return [body(await it.send(exchange)) for exchange in exchanges]


def counting(**headers: str) -> Backend:
    return Backend(*(answer(str(number), **headers) for number in range(20)))


CREDENTIALS = [
    ("/a", {"authorization": "Bearer x"}),
    ("/a", {"proxy-authorization": "Basic x"}),
    ("/a", {"cookie": "any=1"}),
    ("/a", {"x-key": "k"}),
    ("/a", {"x-token": "t"}),
    ("/a", {"x-session": "s"}),
    ("/a", {"x_session": "s"}),
    ("/a", {"x-forwarded-client-cert": "c"}),
    ("/a?key=k", {}),
    ("/a?x=1&%6bey=k", {}),
    ("/a?token=t", {}),
]


@pytest.mark.parametrize(("path", "headers"), CREDENTIALS)
async def test_an_answer_to_a_credential_is_not_stored(path: str, headers: dict[str, str]) -> None:
    """Wherever a scheme of any route looks for one; nor is a request with one answered from the store."""
    it = site(counting(cache_control="public, max-age=60"))
    shown = [it.exchange(path, headers=headers.items()) for _ in range(3)]
    plain = [it.exchange(path.partition("?")[0]) for _ in range(2)]
    assert await numbers(it, *shown[:2], *plain, shown[2]) == ["0", "1", "2", "2", "3"]


async def test_an_answer_to_an_authenticated_request_is_not_stored() -> None:
    """Neither where a scheme recognised the caller, nor where the connection has a certificate."""
    it = site(counting(cache_control="public, max-age=60"))
    known, certified = it.exchange(), it.exchange()
    known.identity = Identity("acme", "keys")
    certified.certificate = b"-----BEGIN CERTIFICATE-----"
    assert await numbers(it, known, certified, it.exchange(), it.exchange()) == ["0", "1", "2", "2"]


async def test_a_parameter_that_was_taken_out_counts() -> None:
    """Where the authentication has removed a credential from the query, the rest of it is not what was asked for."""
    it = site(counting(cache_control="public, max-age=60"))
    concealed = it.exchange("/a?x=1")
    concealed.query_concealed = True
    assert await numbers(it, concealed, it.exchange("/a?x=1"), it.exchange("/a?x=1")) == ["0", "1", "1"]


@pytest.mark.parametrize(
    ("control", "stored"),
    [
        ("public, max-age=60", True),
        ("s-maxage=60", True),
        ("max-age=60, must-revalidate", True),
        ("max-age=60", False),
        ("max-age=60, proxy-revalidate", False),
        ("private, max-age=60", False),
        ("public, no-store", False),
    ],
)
async def test_what_response_and_route_both_allow_is_stored(control: str, stored: bool) -> None:
    """RFC 9111, 3.5: the response says that it is for all; the route says that this counts."""
    it = site(counting(cache_control=control), ALLOWED)
    asks = [it.exchange(headers=[("authorization", f"Bearer {number}")]) for number in range(2)]
    assert await numbers(it, *asks) == (["0", "0"] if stored else ["0", "1"])


async def test_who_has_a_credential_gets_only_what_is_for_all() -> None:
    """What an unknown caller got may be the page that asks to log in."""
    it = site(counting(cache_control=FRESH), ALLOWED)
    known = it.exchange(headers=[("authorization", "Bearer x")])
    assert await numbers(it, it.exchange(), known, it.exchange()) == ["0", "1", "0"]


@pytest.mark.parametrize("routes", [OPEN, ALLOWED])
@pytest.mark.parametrize(
    "headers",
    [
        {"set_cookie": "id=1"},
        {"vary": "*"},
        {"vary": "Accept, *"},
        {"vary": ", ".join(f"x-{number}" for number in range(40))},
        {"x_large": "x" * 20_000},
        {"content_range": "bytes 0-0/1"},
        {"content_type": "text/event-stream"},
    ],
)
async def test_some_responses_are_never_stored(routes: str, headers: dict[str, str]) -> None:
    """Cookies of one client, what no other client could get, parts, streams, and what is there to fill memory."""
    it = site(counting(cache_control="public, max-age=60", **headers), routes)
    assert await numbers(it, it.exchange(), it.exchange()) == ["0", "1"]


async def test_a_path_that_looks_static_is_no_reason_to_store() -> None:
    """`/account/x.css` is stored by what the response says, not by how it ends."""
    it = site(counting(content_type="text/html", last_modified="Sun, 06 Nov 1994 08:49:37 GMT"))
    assert await numbers(it, *(it.exchange("/account/x.css") for _ in range(2))) == ["0", "1"]


@pytest.mark.parametrize(
    "name", ["x-forwarded-host", "x-original-url", "x-http-method-override", "x-host", "forwarded"]
)
async def test_a_forged_host_header_affects_no_other_client(name: str) -> None:
    """The backend does not get it; so what it answers is the same for all."""
    it = site(counting(cache_control=FRESH))
    assert await numbers(it, it.exchange(headers=[(name, "evil")]), it.exchange()) == ["0", "0"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-original-url", "/other"),
        ("x-http-method-override", "DELETE"),
        ("x-host", "evil.example"),
        ("forwarded", "for=192.0.2.1;host=evil.example"),
        ("x-forwarded-prefix", "/evil"),
    ],
)
async def test_headers_of_a_proxy_are_part_of_the_key(name: str, value: str) -> None:
    """Where it reaches the backend, only those get the answer who say the same."""
    it = site(counting(cache_control=FRESH))

    def asked(*headers: tuple[str, str]) -> Exchange:
        exchange = it.exchange(headers=headers)
        exchange.peer_trusted, exchange.header_filter = True, HeaderFilter(trusted=True)
        return exchange

    assert await numbers(it, asked((name, value)), asked(), asked((name, value)), asked()) == ["0", "1", "0", "1"]


async def test_the_clients_address_is_in_no_key() -> None:
    """Behind a proxy that tells it, all clients share what is stored."""
    it = site(counting(cache_control=FRESH))
    exchanges = []
    for number in range(3):
        exchange = it.exchange(
            headers=[("x-forwarded-for", f"192.0.2.{number}"), ("true-client-ip", f"192.0.2.{number}")]
        )
        exchange.peer_trusted, exchange.header_filter = True, HeaderFilter(trusted=True)
        exchanges.append(exchange)
    assert await numbers(it, *exchanges) == ["0", "0", "0"]


async def test_a_header_that_any_client_may_send_is_part_of_the_key() -> None:
    """`allowed_proxy_headers` lets it through to the backend."""
    it = site(counting(cache_control=FRESH))

    def asked(value: str) -> Exchange:
        exchange = it.exchange(headers=[("x-original-url", value)])
        exchange.header_filter = HeaderFilter(allowed=["x-original-url"])
        return exchange

    assert await numbers(it, asked("/evil"), asked("/good"), asked("/evil"), it.exchange()) == ["0", "1", "0", "2"]


async def test_identity_headers_of_the_gateway_count_for_vary() -> None:
    """A response that says that it depends on the consumer is not another consumer's."""
    it = site(counting(cache_control="public, max-age=60", vary="X-Consumer-Name"), ALLOWED)

    def asked(name: str) -> Exchange:
        exchange = it.exchange(headers=[("x-consumer-name", "forged")])
        exchange.identity = Identity(name, "keys")
        exchange.hidden_headers = frozenset({b"x-consumer-name"})
        exchange.extra_headers = ((b"x-consumer-name", name.encode()),)
        return exchange

    assert await numbers(it, asked("a"), asked("b"), asked("a")) == ["0", "1", "0"]


async def test_the_host_counts_as_it_is_written() -> None:
    """A backend may repeat it: what one client writes in capitals, others do not get to see."""
    it = site(counting(cache_control=FRESH))
    shouted = it.exchange()
    shouted.host = "API.example.com"
    assert await numbers(it, shouted, it.exchange()) == ["0", "1"]
    await it.cache.invalidate("api.example.com /a")
    assert await numbers(it, shouted, it.exchange()) == ["2", "3"]


async def test_a_coding_is_for_who_asked_for_it() -> None:
    """Also where the backend forgot to say so in Vary."""
    it = site(counting(cache_control=FRESH, content_encoding="gzip"))
    packed = [it.exchange(headers=[("accept-encoding", "gzip")]) for _ in range(2)]
    assert await numbers(it, *packed, it.exchange()) == ["0", "0", "1"]


async def test_what_may_have_been_cut_short_is_not_stored() -> None:
    """A body that ends with its connection may be half of one whose backend was killed."""

    def reply(exchange: Exchange) -> Response:
        attempt = Attempt("10.0.0.1:80", 0)
        attempt.open_ended = len(backend.asked) < 2
        exchange.attempts += (attempt,)
        return answer(str(len(backend.asked)), cache_control=FRESH)

    backend = Backend(reply)
    it = site(backend)
    assert await numbers(it, *(it.exchange() for _ in range(3))) == ["1", "2", "2"]


def test_a_store_in_redis_needs_redis() -> None:
    """The error says where, and what to add."""
    (error,) = errors("cache: {store: redis}\n")
    assert "there is no redis: key with its url; add one" in error
