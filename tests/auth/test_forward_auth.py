"""forward_auth: a service is asked about every request, and its word counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.auth.scheme import Scheme
from gateway.config.problems import ConfigError
from gateway.errors import ErrorKind
from gateway.http import Exchange, Response
from gateway.http.testing import make_exchange
from tests.auth.schemes_support import Asked, HttpService, Reply, http_service, recognised, refused, running
from tests.auth.support import scheme as policy
from tests.support import eventually, read_head, scripted_backend


def replying(status: int, body: bytes = b"", **headers: str) -> Any:
    """A service that always says the same."""

    async def reply(asked: Asked) -> Reply:
        return status, {name.replace("_", "-"): value for name, value in headers.items()}, body

    return reply


@asynccontextmanager
async def asking(reply: Any, **settings: Any) -> AsyncIterator[tuple[Scheme, HttpService]]:
    """The scheme `ask` and its service."""
    async with http_service(reply) as service:
        auth = {"schemes": {"ask": {"forward_auth": {"url": service.url, **settings}}}}
        async with running(auth, "ask") as scheme:
            yield scheme, service


def request(**headers: str) -> Exchange:
    """POST /orders?a=1 with a body."""
    lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return make_exchange("POST", "/orders?a=1", headers=lines, body=b"the body")


async def test_the_service_learns_what_the_request_is() -> None:
    """Method, scheme, host, URI and client, and the chosen headers of the request; never its body."""
    async with asking(replying(200), request_headers=["authorization", "cookie", "x-many"]) as (scheme, service):
        exchange = request(authorization="Bearer x", cookie="a=b", x_other="o", x_forwarded_uri="/forged")
        exchange.headers += [(b"x-many", b"1"), (b"x-many", b"2")]
        exchange.fields[b"x-many"] = b"2"
        recognised(await scheme.authenticate(exchange))
        (asked,) = service.asked
        assert (asked.method, asked.path, asked.body) == ("GET", "/ask", b"")
        forwarded = {name: value for name, value in asked.headers if name.startswith("x-forwarded-")}
        assert forwarded == {
            "x-forwarded-method": "POST",
            "x-forwarded-proto": "https",
            "x-forwarded-host": "api.example.com",
            "x-forwarded-uri": "/orders?a=1",
            "x-forwarded-for": "192.0.2.1",
        }
        assert (asked.header("authorization"), asked.header("cookie")) == ("Bearer x", "a=b")
        assert [value for name, value in asked.headers if name == "x-many"] == ["1", "2"]
        assert asked.header("x-other") is asked.header("content-length") is None
        assert exchange.body is not None
        assert await exchange.body.read() == b"the body"


async def test_the_service_learns_which_trace_the_request_belongs_to() -> None:
    """That which the backend gets, and not what the client has made up; never its baggage."""
    settings = {"request_headers": ["traceparent", "x-other"]}
    async with asking(replying(200), **settings) as (scheme, service):
        exchange = request(traceparent=f"00-{'1' * 32}-{'2' * 16}-01", x_other="o")
        own = f"00-{'a' * 32}-{'b' * 16}-03".encode()
        exchange.extra_headers += ((b"traceparent", own), (b"tracestate", b"a=1"), (b"baggage", b"shop=3"))
        recognised(await scheme.authenticate(exchange))
        (asked,) = service.asked
        assert [value for name, value in asked.headers if name == "traceparent"] == [own.decode()]
        assert (asked.header("tracestate"), asked.header("x-other")) == ("a=1", "o")
        assert asked.header("baggage") is None


async def test_its_answer_says_who_calls_and_what_the_backend_gets() -> None:
    """Identity and headers are taken from the answer; what clients send under those names is removed."""
    identity = {"consumer": "X-User", "tenant": "X-Tenant", "groups": "X-Groups", "scopes": "X-Scopes"}
    reply = replying(
        200, x_user="ann", x_tenant="acme", x_groups="gold, eu,", x_scopes="a b", x_trace="t", x_private="p"
    )
    async with asking(reply, identity=identity, response_headers=["X-Trace", "X-User"]) as (scheme, _):
        found = recognised(await scheme.authenticate(request()))
        who = found.identity
        assert (who.consumer, who.tenant) == ("ann", "acme")
        assert (sorted(who.groups), sorted(who.scopes)) == (["eu", "gold"], ["a", "b"])
        names = [name for name, _ in found.headers]
        assert (b"x-trace", b"t") in found.headers
        assert (b"x-consumer-name", b"ann") in found.headers
        assert b"x-private" not in names
        assert scheme.locations.headers == {b"x-trace", b"x-user", b"x-tenant", b"x-groups", b"x-scopes"}


async def test_a_service_that_names_no_consumer_allows_all_the_same() -> None:
    """The caller has the name of the scheme then."""
    async with asking(replying(204)) as (scheme, _):
        assert recognised(await scheme.authenticate(request())).identity.consumer == "ask"


@pytest.mark.parametrize(
    ("status", "headers", "kind", "final"),
    [
        (401, {"www_authenticate": 'Bearer realm="x"'}, ErrorKind.UNAUTHENTICATED, False),
        (403, {"x_reason": "no"}, ErrorKind.FORBIDDEN, True),
        (302, {"location": "https://login.example.com/", "set_cookie": "state=1"}, ErrorKind.FORBIDDEN, True),
        (307, {"location": "/login"}, ErrorKind.FORBIDDEN, True),
    ],
)
async def test_a_refusal_is_the_callers_answer(
    status: int, headers: dict[str, str], kind: ErrorKind, final: bool
) -> None:
    """Status, headers and body are passed on as the service gave them, and no redirect is followed."""
    async with asking(replying(status, b"sorry", connection="keep-alive, x-hop", x_hop="1", **headers)) as (
        scheme,
        service,
    ):
        outcome = refused(await scheme.authenticate(request()))
        assert (outcome.kind, outcome.final) == (kind, final)
        wanted = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        assert outcome.answer == Response(status, [*wanted, (b"content-length", b"5")], b"sorry")
        assert len(service.asked) == 1


@pytest.mark.parametrize("reply", [replying(500), replying(404), replying(400), replying(429), replying(304)])
async def test_any_other_answer_is_none(reply: Any) -> None:
    """A failure of the service neither admits a request nor is shown to clients."""
    async with asking(reply) as (scheme, _):
        outcome = refused(await scheme.authenticate(request()))
        assert (outcome.kind, outcome.answer) == (ErrorKind.AUTH_UNAVAILABLE, None)
    async with asking(reply, on_failure="forbidden") as (scheme, _):
        assert refused(await scheme.authenticate(request())).kind is ErrorKind.FORBIDDEN


async def test_a_service_that_hangs_is_not_waited_for() -> None:
    """The caller gets its 503 after the timeout."""

    async def hang(asked: Asked) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with asking(hang, timeout="50ms") as (scheme, _), asyncio.timeout(30):
        assert refused(await scheme.authenticate(request())).kind is ErrorKind.AUTH_UNAVAILABLE


@pytest.mark.parametrize("behind", [b"", b"abc"], ids=["closed", "junk"])
async def test_a_connection_at_its_end_refuses_no_one(behind: bytes) -> None:
    """Where the service closes a connection just as it is used again, or has sent something behind its answer, the next
    caller is asked for on another one; where a new one fails, too, there is no answer."""
    answers = 4

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        await read_head(reader)
        if answers:
            answers -= 1
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n" + behind)
            await read_head(reader)  # and no answer

    async with scripted_backend(script) as port:
        auth = {"schemes": {"ask": {"forward_auth": {"url": f"http://127.0.0.1:{port}/", "timeout": "30s"}}}}
        async with running(auth, "ask") as scheme, asyncio.timeout(60):
            for _ in range(4):
                recognised(await scheme.authenticate(request()))
            assert refused(await scheme.authenticate(request())).kind is ErrorKind.AUTH_UNAVAILABLE


async def test_no_client_gets_the_cookies_of_another() -> None:
    """What the service sets for one caller is not sent along for the next; connections are shared."""
    async with asking(replying(200, set_cookie="session=of-the-first")) as (scheme, service):
        for _ in range(2):
            recognised(await scheme.authenticate(request()))
        assert [asked.header("cookie") for asked in service.asked] == [None, None]
        assert service.connections == 1


async def test_names_that_are_none_are_not_taken() -> None:
    """A name with control characters is not accepted, and an endless one is a failure of the service."""
    async with asking(replying(200, x_user="a\tb"), identity={"consumer": "X-User"}) as (scheme, _):
        assert recognised(await scheme.authenticate(request())).identity.consumer == "ask"
    async with asking(replying(200, x_user="a" * 300), identity={"consumer": "X-User"}) as (scheme, _):
        assert refused(await scheme.authenticate(request())).kind is ErrorKind.AUTH_UNAVAILABLE


async def test_only_a_trusted_proxy_may_say_where_a_request_came_from() -> None:
    """Such a header reaches the service only from trusted proxies."""
    async with asking(replying(200), request_headers=["x-forwarded-prefix", "x-real-ip"]) as (scheme, service):
        for trusted in (False, True):
            exchange = request(x_forwarded_prefix="/a", x_real_ip="192.0.2.9")
            exchange.peer_trusted = trusted
            recognised(await scheme.authenticate(exchange))
        names = [[name for name, _ in asked.headers] for asked in service.asked]
        assert ["x-forwarded-prefix" in forwarded for forwarded in names] == [
            "x-real-ip" in forwarded for forwarded in names
        ]
        assert ["x-forwarded-prefix" in forwarded for forwarded in names] == [False, True]


async def test_the_service_learns_the_host_and_the_prefix_that_the_client_asked_for() -> None:
    """The host that a trusted proxy says, and what stood before the route's own path."""
    async with asking(replying(200)) as (scheme, service):
        exchange = request()
        exchange.outer_host, exchange.original_path = "shop.example.com", "/api/orders"
        recognised(await scheme.authenticate(exchange))
        assert service.asked[0].header("x-forwarded-prefix") == "/api"
        assert service.asked[0].header("x-forwarded-host") == "shop.example.com"


@pytest.mark.parametrize(
    ("key", "header"),
    [
        ("request_headers", "Content-Length"),
        ("request_headers", "Host"),
        ("request_headers", "X-Forwarded-Uri"),
        ("response_headers", "Content-Length"),
        ("response_headers", "Transfer_Encoding"),
        ("response_headers", "X-Forwarded-For"),
        ("response_headers", "X-Consumer-Name"),
        ("client_response_headers", "Content-Length"),
        ("client_response_headers", "Transfer-Encoding"),
        ("client_response_headers", "Content-Type"),
    ],
)
def test_headers_that_the_gateway_writes_are_not_copied(key: str, header: str) -> None:
    """Two lengths of one body, say, would be read in two ways: it is reported with its place when the file is
    loaded."""
    auth = {"schemes": {"ask": {"forward_auth": {"url": "http://auth/", key: ["X-Fine", header]}}}}
    with pytest.raises(ConfigError, match=rf"auth.yaml:1:\d+: .*{key}\[1\].*writes {header.lower()} itself; remove it"):
        policy(json.dumps(auth), "ask")


async def test_a_reload_drops_no_question() -> None:
    """Who waits for the service when its settings change gets its answer, as does who asks only then."""
    release = asyncio.Event()

    async def slow(asked: Asked) -> Reply:
        await release.wait()
        return 200, {"x-user": "ann"}, b""

    async with http_service(slow) as service:
        auth = {"schemes": {"ask": {"forward_auth": {"url": service.url, "identity": {"consumer": "X-User"}}}}}
        async with running(auth, "ask") as scheme:
            waiting = asyncio.create_task(scheme.authenticate(request()))
            await eventually(lambda: bool(service.asked))
        release.set()
        for outcome in (await waiting, await scheme.authenticate(request())):
            assert recognised(outcome).identity.consumer == "ann"


async def test_an_explanation_calls_no_service() -> None:
    """To explain a request is not to send it anywhere."""
    async with asking(replying(200)) as (scheme, service):
        refused(await scheme.authenticate(request(), dry_run=True))
        assert service.asked == []
