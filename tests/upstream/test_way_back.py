"""What backends say of places, as clients behind a prefix or under another host need it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.resilience.support import Backend, InProcess, backend, response, running
from tests.support import eventually

STRIPPED = "path: /shop/*, strip_prefix: /shop"
REWRITTEN = "path: /v1/shop/*, rewrite: /internal/$1, rewrite_back: true"


@asynccontextmanager
async def served(
    directory: Path, keys: str, *lines: str, services: str = ""
) -> AsyncIterator[tuple[InProcess, Backend]]:
    """A gateway with one route to a backend whose responses have these header lines; `BACKEND` is its address."""
    async with backend() as made:
        made.answers = [response(200, b"", *(line.replace("BACKEND", made.address) for line in lines))]
        target = "s" if services else made.address
        head = f"services: {{s: {{endpoints: ['{made.address}'], {services}}}}}\n" if services else ""
        async with running(directory, f"{head}routes: [{{{keys}, target: '{target}'}}]\n") as gateway:
            yield gateway, made


def given(answer: httpx2.Response, name: str = "location") -> Sequence[str]:
    return [value for key, value in answer.headers.multi_items() if key == name]


@pytest.mark.parametrize(
    ("keys", "asked", "location", "client"),
    [
        (STRIPPED, "/shop/a", "/b?x=1#y", "/shop/b?x=1#y"),
        (STRIPPED, "/shop", "/", "/shop/"),
        (STRIPPED, "/api/shop/a", "/b", "/api/shop/b"),
        (STRIPPED, "/shop/a", "/shop/b", "/shop/b"),
        (STRIPPED, "/api/shop/a", "/shop/b", "/api/shop/b"),
        (STRIPPED, "/api/shop/a", "/api/shop/b", "/api/shop/b"),
        (STRIPPED, "/shop/a", "/shopping", "/shop/shopping"),
        (STRIPPED, "/shop/a", "b/c", "b/c"),
        (STRIPPED, "/shop/a", "?page=2", "?page=2"),
        (STRIPPED, "/shop/a", "http://BACKEND/b", "/shop/b"),
        (STRIPPED, "/shop/a", "HTTP://BACKEND", "/shop/"),
        (STRIPPED, "/shop/a", "//BACKEND/b", "/shop/b"),
        (STRIPPED, "/shop/a", "http://BACKEND//evil.example/b", "/shop/evil.example/b"),
        (STRIPPED, "/shop/a", "http://a.test/b", "http://a.test/shop/b"),
        (STRIPPED, "/shop/a", "http://a.test/shop/b", "http://a.test/shop/b"),
        (STRIPPED, "/shop/a", "https://login.example/b", "https://login.example/b"),
        (STRIPPED, "/shop/a", "//evil.example/b", "//evil.example/b"),
        (STRIPPED, "/shop/a", "mailto:a@b", "mailto:a@b"),
        (STRIPPED + ", rewrite_back: false", "/shop/a", "/b", "/b"),
        (REWRITTEN, "/v1/shop/a/b", "/internal/c", "/v1/shop/c"),
        (REWRITTEN, "/v1/shop", "/internal", "/v1/shop"),
        (REWRITTEN, "/v1/shop/", "/internal/?x", "/v1/shop/?x"),
        (REWRITTEN, "/api/v1/shop/a", "http://BACKEND/internal/c", "/api/v1/shop/c"),
        (REWRITTEN, "/v1/shop/a", "/other", "/other"),
        (REWRITTEN, "/v1/shop/a", "/v1/shop/x", "/v1/shop/x"),
        ("path: '/t/{t}/*', rewrite: '/$2', rewrite_back: true", "/t/acme/x", "/y", "/t/acme/y"),
        ("path: /login, rewrite: /auth/login, rewrite_back: true", "/login", "/auth/login?e=1", "/login?e=1"),
        ("path: /*, rewrite_back: true", "/a", "http://BACKEND//evil.example", "/evil.example"),
        ("path: /*", "/a", "http://BACKEND/b", "http://BACKEND/b"),
    ],
)
async def test_a_location_leads_the_client_where_the_backend_meant(
    tmp_path: Path, keys: str, asked: str, location: str, client: str
) -> None:
    """Behind the prefix that the client used; places elsewhere, and those that have the prefix already, stay."""
    async with served(tmp_path, keys, f"Location: {location}", f"Content-Location: {location}") as (gateway, made):
        answer = await gateway.get(asked)
        for name in ("location", "content-location"):
            assert given(answer, name) == [client.replace("BACKEND", made.address)]


@pytest.mark.parametrize(
    ("refresh", "client"),
    [
        ("5; url=/b", "5; url=/shop/b"),
        ("0;URL='http://BACKEND/b'", "0;URL='/shop/b'"),
        ("3, /b", "3, /shop/b"),
        ("0.5; /b' ", "0.5; /shop/b'"),
        ("5", "5"),
        ("5; url=https://a.example/", "5; url=https://a.example/"),
    ],
)
async def test_a_refresh_does_so_too(tmp_path: Path, refresh: str, client: str) -> None:
    """In each of the ways that browsers read."""
    async with served(tmp_path, STRIPPED, f"Refresh: {refresh}") as (gateway, _):
        assert given(await gateway.get("/shop/a"), "refresh") == [client]


@pytest.mark.parametrize(
    ("cookie", "client"),
    [
        ("sid=1; Path=/; HttpOnly", "sid=1; Path=/shop; HttpOnly"),
        ("sid=1;path=/cart;Domain=127.0.0.1", "sid=1;path=/shop/cart"),
        ("sid=1; Path=/shop/cart", "sid=1; Path=/shop/cart"),
        ("sid=1; Domain=a.test; Path=/", "sid=1; Domain=a.test; Path=/shop"),
        ("sid=1; Domain=other.example", "sid=1; Domain=other.example"),
        ("__Host-sid=1; Path=/; Secure", "__Host-sid=1; Path=/; Secure"),
        ("sid=/; Path=relative", "sid=/; Path=relative"),
        ("sid=1", "sid=1"),
    ],
)
async def test_a_cookie_comes_back_to_its_application(tmp_path: Path, cookie: str, client: str) -> None:
    """Its Path is below the prefix, and a Domain that only the backend is in is left out."""
    async with served(tmp_path, STRIPPED, f"Set-Cookie: {cookie}", "Set-Cookie: b=2; Path=/b") as (gateway, _):
        assert given(await gateway.get("/shop/a"), "set-cookie") == [client, "b=2; Path=/shop/b"]


async def test_a_client_keeps_its_session_behind_the_prefix(tmp_path: Path) -> None:
    """A client with a cookie jar sends the cookie back to the application, and to nothing else of the host."""
    async with served(tmp_path, STRIPPED, "Set-Cookie: sid=1; Path=/; Domain=127.0.0.1") as (gateway, made):
        await gateway.get("/shop/login")
        await gateway.get("/shop/account")
        assert made.requests[-1].fields["cookie"] == "sid=1"
        assert [cookie.path for cookie in gateway.client.cookies.jar] == ["/shop"]


async def test_the_gateways_own_cookie_stays_as_it_is(tmp_path: Path) -> None:
    """It is for the service, behind whatever prefix."""
    sticky = "balance: {sticky: {cookie: gw, secret: only-for-tests-of-this}}"
    async with served(tmp_path, STRIPPED, services=sticky) as (gateway, _):
        (cookie,) = given(await gateway.get("/shop/a"), "set-cookie")
        assert cookie.startswith("gw=")
        assert "; Path=/;" in f"{cookie};"


@pytest.mark.parametrize(
    ("keys", "asked", "destination", "theirs"),
    [
        (STRIPPED, "/shop/a", "/shop/b", "/b"),
        (STRIPPED, "/shop/a", "http://a.test/shop/b%20c", "/b%20c"),
        (STRIPPED, "/api/shop/a", "http://a.test/api/shop/b", "/b"),
        (STRIPPED, "/shop/a", "/shop", "/"),
        (REWRITTEN, "/v1/shop/a", "/v1/shop/b/", "/internal/b/"),
        (STRIPPED, "/shop/a", "/b", None),
        (STRIPPED, "/shop/a", "/shop/../b", None),
        (STRIPPED, "/shop/a", "/shop/%2e%2e/b", None),
        (STRIPPED, "/shop/a", "/shop/a%2fb", None),
        (STRIPPED, "/shop/a", "http://other.example/shop/b", None),
        (STRIPPED, "/shop/a", "/shopping/b", None),
        (STRIPPED + ", rewrite_back: false", "/shop/a", "/b", "/b"),
    ],
)
async def test_a_destination_is_the_same_on_the_way_in(
    tmp_path: Path, keys: str, asked: str, destination: str, theirs: str | None
) -> None:
    """The backend moves to the place that the client meant; one outside of the route is refused, and not sent."""
    async with served(tmp_path, keys) as (gateway, made):
        answer = await gateway.client.request("MOVE", asked, headers={"Destination": destination})
        if theirs is None:
            assert (answer.status_code, made.requests) == (400, [])
        else:
            assert [request.all("destination") for request in made.requests] == [[theirs]]


@pytest.mark.parametrize("keys", ["strip_prefix: /dav, ", "strip_prefix: /dav, rewrite_back: false, ", ""])
async def test_a_destination_of_another_route_is_refused(tmp_path: Path, keys: str) -> None:
    """Who may write below one path cannot have the backend write where another route keeps them out."""
    async with backend() as made:
        made.answers = [response(201, b"")]
        common = f"{keys}target: '{made.address}'"
        routes = f"routes: [{{path: /dav/*, {common}}}, {{path: /dav/own/*, {common}, authorize: [{{groups: [a]}}]}}]\n"
        async with running(tmp_path, routes) as gateway:
            for method in ("MOVE", "COPY"):
                for place in ("/dav/own/x", "//x/dav/own/x", f"http://{made.address}/dav/own/x", "/dav/a/%2e%2e/own/x"):
                    answer = await gateway.client.request(method, "/dav/a", headers={"Destination": place})
                    assert (answer.status_code, made.requests) == (400, []), place
                for places in (("/dav/own/x", "/dav/b"), ("/dav/b", "/dav/own/x"), ("/dav/b", "/dav/b")):
                    lines = [("Destination", place) for place in places]
                    answer = await gateway.client.request(method, "/dav/a", headers=lines)
                    assert (answer.status_code, made.requests) == (400, []), places
            answer = await gateway.client.request("MOVE", "/dav/a", headers={"Destination": "/dav/b"})
            assert (answer.status_code, len(made.requests)) == (201, 1)


async def test_what_is_stored_has_the_places_of_those_who_asked_like_this(tmp_path: Path) -> None:
    """Clients that come by the base path do not get the places of those that do not, and the other way round."""
    lines = ("Location: /internal/b", "Cache-Control: max-age=60")
    async with served(tmp_path, REWRITTEN + ", cache: true", *lines) as (gateway, made):
        for _ in range(2):
            assert given(await gateway.get("/v1/shop/a")) == ["/v1/shop/b"]
            assert given(await gateway.get("/api/v1/shop/a")) == ["/api/v1/shop/b"]
        assert len(made.requests) == 2


async def test_tls_that_ends_here_is_not_undone(tmp_path: Path) -> None:
    """An application that sees plain HTTP and the client's host does not lead a client of HTTPS back to HTTP."""
    keys = STRIPPED + ", preserve_host: true"
    async with served(tmp_path, keys, "Location: http://a.test/b", "Content-Location: https://a.test/b") as (
        gateway,
        _,
    ):
        answer = await gateway.client.get("https://a.test/shop/a")
        assert (given(answer), given(answer, "content-location")) == (["/shop/b"], ["https://a.test/shop/b"])


async def test_explain_says_what_becomes_of_places(tmp_path: Path) -> None:
    """As a layer in front of the backend."""
    async with served(tmp_path, STRIPPED) as (gateway, _):
        explained = (await gateway.admin.get("/explain", params={"method": "GET", "url": "/shop/a"})).json()
        assert any("/ is /shop for the client" in line for line in explained["resilience"])


async def _page(request: Request) -> Response:
    """As FastAPI's documentation: it names its schema and its assets with its configured prefix."""
    root = request.scope.get("root_path", "")
    return HTMLResponse(f"<script src='{root}/assets/docs.js'></script><a href='{root}/openapi.json'>schema</a>")


async def _schema(request: Request) -> Response:
    return JSONResponse({"servers": [{"url": request.scope.get("root_path", "")}]})


async def _asset(request: Request) -> Response:
    return Response("'js'", media_type="text/javascript")


async def _login(request: Request) -> Response:
    made = RedirectResponse("/items/", 303)
    made.set_cookie("session", "1")
    return made


async def _items(request: Request) -> Response:
    return JSONResponse({"session": request.cookies.get("session"), "prefix": request.headers["x-forwarded-prefix"]})


@pytest.mark.parametrize("prefix", ["/shop", ""])
async def test_an_application_works_behind_a_prefix(tmp_path: Path, prefix: str) -> None:
    """With its prefix configured (--root-path), its pages find their assets and its redirects are right; without
    it, its redirects and cookies still are."""
    routes = [
        Route("/docs", _page),
        Route("/openapi.json", _schema),
        Route("/assets/docs.js", _asset),
        Route("/login", _login, methods=["POST"]),
        Route("/items/", _items),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, root_path=prefix, log_level="error"))
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with running(tmp_path, f"- {{{STRIPPED}, target: '127.0.0.1:{port}'}}\n") as gateway:
            for base in ("/shop", "/api/shop"):
                page = await gateway.get(f"{base}/docs")
                if prefix:
                    for place in (f"{prefix}/assets/docs.js", f"{prefix}/openapi.json"):
                        assert place in page.text
                        assert (await gateway.get(place)).status_code == 200
                    schema = (await gateway.get(f"{prefix}/openapi.json")).json()
                    assert schema["servers"] == [{"url": prefix}]
                slashed = await gateway.get(f"{base}/items", follow_redirects=True)
                assert slashed.status_code == 200
                logged_in = await gateway.client.post(f"{base}/login", follow_redirects=True)
                assert logged_in.json() == {"session": "1", "prefix": base}
    finally:
        server.should_exit = True
        await serving
