"""Tokens where browsers can send them: in a cookie, in the query, in a WebSocket's subprotocols."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from gateway.admin.tokens import hash_of
from gateway.auth.scheme import Scheme
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.http.testing import make_exchange
from tests.auth.schemes_support import Asked, Reply, http_service, json_reply, recognised, refused, running
from tests.auth.support import ISSUER, SECRET, claims, jwt_auth, mint, scheme
from tests.config.support import errors
from tests.support import GatewayProcess, eventually, running_gateway

EVERYWHERE = {"header": "X-Access-Token", "cookie": "session", "query": "access_token", "websocket_protocol": "bearer"}
TOKEN = mint("HS256", SECRET, claims(exp=4_000_000_000))
OTHER = mint("HS256", SECRET, claims(sub="user-18", exp=4_000_000_000))
READER = "gwa_a-token-that-may-read-only"


def login(**places: str) -> Scheme:
    """A scheme for tokens in these places, too."""
    auth = json.loads(jwt_auth({"algorithms": ["HS256"], "secret": SECRET}))
    auth["schemes"]["login"]["jwt"]["from"] = places
    return scheme(json.dumps(auth), "login")


def shown(place: str, token: str = TOKEN) -> Exchange:
    """A request with the token in this place."""
    headers = {
        "authorization": ("authorization", f"Bearer {token}"),
        "header": ("x-access-token", token),
        "header with Bearer": ("x-access-token", f"bearer {token}"),
        "cookie": ("cookie", f"a=b; session={token}; c=d"),
        "websocket_protocol": ("sec-websocket-protocol", f"chat, bearer.{token}"),
    }
    query = f"?a=b&access_token={token}&c=d" if place == "query" else "?a=b"
    exchange = make_exchange("GET", f"/x{query}", headers=[headers[place]] if place in headers else [])
    exchange.websocket = place == "websocket_protocol"
    return exchange


CHAT = Subprotocol("chat")
PLACES = ["authorization", "header", "header with Bearer", "cookie", "query", "websocket_protocol"]


@pytest.mark.parametrize("place", PLACES)
async def test_a_token_is_taken_where_it_is_configured(place: str) -> None:
    """Beside Authorization, which goes on to count; and nowhere where it is not."""
    assert recognised(await login(**EVERYWHERE).authenticate(shown(place))).identity.consumer == "user-17"
    if place != "authorization":
        assert await login().authenticate(shown(place)) is None
        others = {key: value for key, value in EVERYWHERE.items() if key != place.partition(" ")[0]}
        assert await login(**others).authenticate(shown(place)) is None


@pytest.mark.parametrize("place", ["header", "cookie", "query", "websocket_protocol"])
async def test_places_that_disagree_are_ambiguous(place: str) -> None:
    """Two different tokens are ambiguous; the same token twice is one caller."""
    both = login(**EVERYWHERE)
    for token, kind in ((TOKEN, None), (OTHER, ErrorKind.AMBIGUOUS_CREDENTIALS)):
        exchange = shown(place)
        exchange.headers.append((b"authorization", f"Bearer {token}".encode()))
        exchange.fields[b"authorization"] = exchange.headers[-1][1]
        outcome = await both.authenticate(exchange)
        if kind is None:
            recognised(outcome)
        else:
            assert refused(outcome).kind is kind


@pytest.mark.parametrize(
    "exchange",
    [
        make_exchange("GET", f"/x?access_token={TOKEN}&access_token={OTHER}"),
        make_exchange("GET", f"/x?access_token={TOKEN}&access%5Ftoken={OTHER}"),
        make_exchange(headers=[("cookie", f"session={TOKEN}"), ("cookie", f"session={OTHER}")]),
        make_exchange(headers=[("x-access-token", TOKEN), ("x-access-token", OTHER)]),
    ],
)
async def test_two_tokens_in_one_place_are_ambiguous(exchange: Exchange) -> None:
    """Also where the name of the parameter is written in another way."""
    assert refused(await login(**EVERYWHERE).authenticate(exchange)).kind is ErrorKind.AMBIGUOUS_CREDENTIALS


@pytest.mark.parametrize("value", ["a%0d%0ax: y", "a b", "%ff", "x" * 20_000, "a.b.c"])
async def test_what_is_no_token_is_refused(value: str) -> None:
    """Nothing that could begin a line of its own, and nothing endless."""
    outcome = await login(**EVERYWHERE).authenticate(make_exchange("GET", f"/x?access_token={value}"))
    assert refused(outcome).kind is ErrorKind.UNAUTHENTICATED


async def test_an_empty_cookie_is_no_token() -> None:
    """It was revoked by a logout."""
    assert await login(**EVERYWHERE).authenticate(make_exchange(headers=[("cookie", "session=")])) is None


@pytest.mark.parametrize("place", PLACES)
async def test_the_service_that_is_asked_gets_the_token_as_a_bearer(place: str) -> None:
    """In Authorization, and not in the URI, which it may write to its log."""

    async def reply(asked: Asked) -> Reply:
        return (204 if asked.header("authorization") == f"Bearer {TOKEN}" else 401), {}, b""

    async with http_service(reply) as service:
        settings = {"url": service.url, "from": EVERYWHERE}
        async with running({"schemes": {"ask": {"forward_auth": settings}}}, "ask") as ask:
            recognised(await ask.authenticate(shown(place)))
            (asked,) = service.asked
            assert TOKEN not in (asked.header("x-forwarded-uri") or "")
            assert (asked.header("x-forwarded-uri") or "").startswith("/x?a=b")
            assert [name for name, _ in asked.headers].count("authorization") == 1
            basic = shown("cookie")
            basic.headers.append((b"authorization", b"Basic YTpi"))
            basic.fields[b"authorization"] = b"Basic YTpi"
            assert refused(await ask.authenticate(basic)).kind is ErrorKind.AMBIGUOUS_CREDENTIALS


async def test_the_service_that_is_asked_gets_no_parameter_of_another_scheme() -> None:
    """Nor its API keys or tokens, which the URI would bring into its log."""

    async def reply(asked: Asked) -> Reply:
        return 204, {}, b""

    async with http_service(reply) as service:
        schemes = json.loads(jwt_auth({"algorithms": ["HS256"], "secret": SECRET}))["schemes"]
        schemes["login"]["jwt"]["from"] = {"query": "access_token"}
        schemes |= {"ask": {"forward_auth": {"url": service.url}}, "key": {"api_key": {"query": "key"}}}
        async with running({"schemes": schemes}, "ask") as ask:
            recognised(await ask.authenticate(make_exchange("GET", f"/x?a=b&access_token={TOKEN}&k%65y=1&c=d")))
            assert service.asked[0].header("x-forwarded-uri") == "/x?a=b&c=d"


async def test_opaque_tokens_are_taken_there_too() -> None:
    """The issuer is asked about the token of a cookie as about any other."""

    async def reply(asked: Asked) -> Reply:
        return json_reply({"active": asked.body.startswith(b"token=opaque&"), "sub": "user-1"})

    async with http_service(reply) as service:
        settings = {"url": service.url, "from": {"cookie": "session"}}
        async with running({"schemes": {"o": {"introspection": settings}}}, "o") as opaque:
            recognised(await opaque.authenticate(make_exchange(headers=[("cookie", "session=opaque")])))


def test_a_place_that_has_a_meaning_is_an_error() -> None:
    """With its place in the file."""
    for place, value in (("header", "Cookie"), ("websocket_protocol", "a b"), ("cookie", "a;b")):
        auth = json.loads(jwt_auth({"algorithms": ["HS256"], "secret": SECRET}))
        auth["schemes"]["login"]["jwt"]["from"] = {place: value}
        assert f"from.{place}" in errors(auth=json.dumps(auth))[0]


# Served.


class Stage:
    """A gateway with backends for requests and for WebSockets, and what reached them."""

    def __init__(self, gateway: GatewayProcess, got: list[Asked], handshakes: list[Mapping[str, str]]) -> None:
        self.gateway = gateway
        self.got = got
        self.handshakes = handshakes

    def written(self) -> str:
        """All that is written to any file or log."""
        directory = self.gateway.directory.parent
        return "".join(path.read_text(errors="replace") for path in directory.glob("*") if path.is_file())


@asynccontextmanager
async def staged(directory: Path, **settings: Any) -> AsyncIterator[Stage]:
    """The scheme with these settings, on routes for both; and an open route beside them."""
    handshakes: list[Mapping[str, str]] = []
    got: list[Asked] = []

    async def backend(asked: Asked) -> Reply:
        got.append(asked)
        return 200, {}, b"fine"

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        handshakes.append({"path": connection.request.path, **dict(connection.request.headers.raw_items())})
        await connection.send("hello")

    async with http_service(backend) as reached, serve(talk, "127.0.0.1", 0, subprotocols=[CHAT]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        issuer = {"issuer": ISSUER, "audiences": ["orders"], "algorithms": ["HS256"], "secret": "${SECRET}"}
        auth = {"schemes": {"login": {"jwt": {"issuers": [issuer], "from": EVERYWHERE, **settings}}}}
        routes = f"""
base_path: /
routes:
- {{id: api, path: /api/*, target: "127.0.0.1:{reached.port}", auth: [login]}}
- {{id: open, path: /open/*, target: "127.0.0.1:{reached.port}", auth: []}}
- {{id: chat, path: /chat, target: "127.0.0.1:{port}", auth: [login]}}
"""
        middleware = f"""
audit_log: {{file: ../audit.jsonl}}
admin: {{tokens: [{{name: reader, hash: "{hash_of(READER)}"}}]}}
"""
        running = running_gateway(directory, routes, middleware, json.dumps(auth), environment={"SECRET": SECRET})
        gateway = await asyncio.to_thread(running.__enter__)
        try:
            yield Stage(gateway, got, handshakes)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


async def test_a_token_goes_no_further_than_the_gateway(tmp_path: Path) -> None:
    """The backend gets neither parameter nor cookie, on open routes either; no log and no answer has the token."""
    async with staged(tmp_path) as stage, httpx2.AsyncClient(base_url=stage.gateway.url) as client:
        wrong = TOKEN[:-10] + "AAAAAAAAAA"
        page = f"https://shop.example/page?access_token={TOKEN}"
        for path, status in (("/api/x", 200), ("/open/x", 200), ("/none", 404), ("/api/%2F", 400)):
            answer = await client.get(
                f"{path}?a=1&access_token={TOKEN}&b=2", headers={"cookie": f"session={TOKEN};c=d", "referer": page}
            )
            assert (answer.status_code, TOKEN in answer.text) == (status, False), path
        answer = await client.get(f"/api/x?access_token={wrong}")
        assert (answer.status_code, wrong in answer.text) == (401, False)
        assert [asked.path for asked in stage.got] == ["/api/x?a=1&b=2", "/open/x?a=1&b=2"]
        assert [asked.header("cookie") for asked in stage.got] == ["c=d", "c=d"]
        assert [asked.header("referer") for asked in stage.got] == ["https://shop.example/page"] * 2
        url = f"http://127.0.0.1:{stage.gateway.admin_port}/explain"
        shown = {"authorization": f"Bearer {READER}"}
        explained = await client.get(url, params={"url": f"/api/x?access_token={TOKEN}&b=2"}, headers=shown)
        assert explained.status_code == 200
        assert TOKEN not in explained.text
        assert "b=2" in explained.text
        await eventually(lambda: stage.gateway.access_log.count('"request_id"') == 5)
        signature = TOKEN.rpartition(".")[2]
        assert signature not in stage.written()
        assert wrong not in stage.written()


async def test_a_websocket_opens_with_a_token_among_its_subprotocols(tmp_path: Path) -> None:
    """The backend is offered the other entries and selects one of them; without a token nothing opens."""
    async with staged(tmp_path) as stage:
        url = f"ws://127.0.0.1:{stage.gateway.port}/chat"
        for offered in ([f"bearer.{TOKEN}", "chat"], ["chat", f"bearer.{TOKEN}"]):
            async with connect(url, subprotocols=[Subprotocol(name) for name in offered]) as socket:
                assert socket.subprotocol == "chat"
                assert await socket.recv() == "hello"
        async with connect(f"{url}?access_token={TOKEN}&room=1", subprotocols=[CHAT]) as socket:
            assert await socket.recv() == "hello"
        async with connect(url, additional_headers={"cookie": f"session={TOKEN}"}, subprotocols=[CHAT]) as socket:
            assert await socket.recv() == "hello"
        for protocols, status in ((["chat"], 401), ([f"bearer.{TOKEN}", f"bearer.{OTHER}", "chat"], 400)):
            with pytest.raises(InvalidStatus) as caught:
                await connect(url, subprotocols=[Subprotocol(name) for name in protocols])
            assert caught.value.response.status_code == status
        assert [each.get("Sec-WebSocket-Protocol") for each in stage.handshakes] == ["chat"] * 4
        assert [each["path"] for each in stage.handshakes] == ["/chat", "/chat", "/chat?room=1", "/chat"]
        assert TOKEN not in json.dumps(stage.handshakes) + stage.written()


async def test_a_token_may_be_forwarded(tmp_path: Path) -> None:
    """Where the scheme says so, the backend gets it as it came."""
    async with staged(tmp_path, forward=True) as stage, httpx2.AsyncClient(base_url=stage.gateway.url) as client:
        await client.get(f"/api/x?access_token={TOKEN}", headers={"cookie": f"session={TOKEN}"})
        assert stage.got[0].path == f"/api/x?access_token={TOKEN}"
        assert stage.got[0].header("cookie") == f"session={TOKEN}"
