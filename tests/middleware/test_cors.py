import pytest

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Response
from gateway.http.testing import make_exchange

from .support import answering, chain, errors, header

RULE = "cors: {app: {origins: [https://app.example.com, 'https://*.example.org', 'http://localhost:*']"
PREFLIGHT = [("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "x-a, content-type")]


async def never(exchange: Exchange) -> Response:
    raise AssertionError("a preflight does not get this far")


async def preflight(text: str, origin: str, *, routes: str | None = None) -> dict[bytes, bytes]:
    """The headers of the answer, which is always a 204."""
    exchange = make_exchange("OPTIONS", headers=[("Origin", origin), *PREFLIGHT])
    handle = chain(text, never) if routes is None else chain(text, never, routes=routes)
    response = await handle(exchange)
    assert (response.status, response.body) == (204, b"")
    return dict(response.headers)


async def test_the_answer_to_a_preflight_lists_what_is_allowed() -> None:
    """Origin, methods, headers and how long to remember it; and what caches must tell apart."""
    text = RULE + ", headers: [X-A, Content-Type], methods: [get, put], credentials: true, max_age: 1h}}"
    assert await preflight(text, "https://app.example.com") == {
        b"vary": b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        b"access-control-allow-origin": b"https://app.example.com",
        b"access-control-allow-credentials": b"true",
        b"access-control-allow-methods": b"GET, PUT",
        b"access-control-allow-headers": b"x-a, content-type",
        b"access-control-max-age": b"3600",
    }


async def test_methods_are_those_of_the_route_unless_listed() -> None:
    """What the route does not take is not promised."""
    routes = "- {id: test, path: /*, methods: [GET, DELETE], target: 'b:80'}\n"
    answer = await preflight(RULE + "}}", "https://app.example.com", routes=routes)
    assert answer[b"access-control-allow-methods"] == b"GET, DELETE"


async def test_private_networks_are_not_opened() -> None:
    """A page of the internet gets no permission to reach into a local network."""
    exchange = make_exchange(
        "OPTIONS",
        headers=[*PREFLIGHT, ("Origin", "https://app.example.com"), ("Access-Control-Request-Private-Network", "true")],
    )
    response = await chain(RULE + "}}", never)(exchange)
    assert not any(b"private-network" in name for name, _ in response.headers)


ORIGINS = [
    ("https://app.example.com", True),
    ("https://a.example.org", True),
    ("https://a.b.example.org", True),
    ("http://localhost", True),
    ("http://localhost:3000", True),
    ("http://app.example.com", False),
    ("https://app.example.com:8443", False),
    ("https://app.example.com.evil.net", False),
    ("https://evil-app.example.com", False),
    ("https://example.org", False),
    ("https://evilexample.org", False),
    ("https://a.example.org.evil.net", False),
    ("https://a.example.org\nx", False),
    ("https://evil.net/.example.org", False),
    ("https://evil.net#.example.org", False),
    ("http://localhost:3000.evil.net", False),
    ("null", False),
    ("*", False),
    ("", False),
]


@pytest.mark.parametrize(("origin", "known"), ORIGINS)
async def test_only_listed_origins_are_allowed(origin: str, known: bool) -> None:
    """Patterns fit from end to end: nothing can be hung on to an allowed name."""
    answer = await preflight(RULE + "}}", origin)
    assert answer.get(b"access-control-allow-origin") == (origin.encode() if known else None)
    response = await chain(RULE + "}}", answering())(make_exchange(headers=[("Origin", origin)]))
    assert header(response, b"access-control-allow-origin") == ([origin.encode()] if known else [])
    assert header(response, b"vary") == [b"Origin"]


async def test_the_backends_own_headers_are_replaced() -> None:
    """Two answers to the same question would be none to a browser."""
    own = [(b"access-control-allow-origin", b"*"), (b"access-control-allow-credentials", b"true"), (b"x-a", b"1")]
    handle = chain(RULE + ", expose: [X-A]}}", answering(lambda: Response(200, list(own))))
    response = await handle(make_exchange(headers=[("Origin", "https://app.example.com")]))
    assert response.headers == [
        (b"x-a", b"1"),
        (b"vary", b"Origin"),
        (b"access-control-allow-origin", b"https://app.example.com"),
        (b"access-control-expose-headers", b"x-a"),
    ]


async def test_errors_can_be_read_by_the_page_too() -> None:
    """A page learns of a 401, 429 or 502 instead of seeing a network error."""

    async def failing(exchange: Exchange) -> Response:
        raise GatewayError(ErrorKind.QUOTA_EXCEEDED, "later")

    with pytest.raises(GatewayError) as caught:
        await chain(RULE + "}}", failing)(make_exchange(headers=[("Origin", "https://app.example.com")]))
    assert dict(caught.value.headers)[b"access-control-allow-origin"] == b"https://app.example.com"


async def test_everybody_is_a_star() -> None:
    """Responses are the same for all then, and caches need not tell them apart."""
    text = "cors: {all: {origins: ['*'], headers: ['*']}}"
    response = await chain(text, answering())(make_exchange(headers=[("Origin", "https://any.net")]))
    assert response.headers == [(b"access-control-allow-origin", b"*")]
    assert (await preflight(text, "https://any.net"))[b"access-control-allow-headers"] == b"*"


async def test_options_that_is_no_preflight_goes_to_the_backend() -> None:
    """Other uses of OPTIONS are not taken away."""
    response = await chain(RULE + "}}", answering())(make_exchange("OPTIONS", headers=[("Origin", "https://x.y")]))
    assert response.body == b"fine"


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ("origins: ['*'], credentials: true", "credentials are not allowed for every origin"),
        ("origins: [https://a.b], headers: ['*'], credentials: true", "credentials are not allowed for every origin"),
        ("origins: [https://a.b], expose: ['*'], credentials: true", "credentials are not allowed for every origin"),
        ("origins: ['https://*']", "wildcard"),
        ("origins: ['https://a*.example.com']", "wildcard"),
        ("origins: [https://a.b/]", "no path"),
        ("origins: [https://a.b/c]", "scheme://host"),
        ("origins: [a.b]", "scheme://host"),
        ("origins: ['null']", "scheme://host"),
        ("origins: ['https://a.b:443']", "port"),
        ("origins: ['https://user@a.b']", "scheme://host"),
        ("origins: []", "at least one"),
    ],
)
def test_what_opens_too_much_or_never_fits_is_refused_at_load(rule: str, word: str) -> None:
    """Above all, credentials are never together with a star."""
    answer = errors(f"cors: {{x: {{{rule}}}}}")
    assert len(answer) == 1
    assert word in answer[0]
