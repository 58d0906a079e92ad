"""Signing in to the page where the admin port is not on a loopback address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from gateway.admin.app import admin_app
from gateway.admin.cookie_sessions import MOST, SECONDS
from gateway.admin.listening import Listening
from gateway.admin.sessions import MOST_ADDRESSES, TRIES, Sessions, WrongTries
from gateway.admin.tokens import Credentials, Holder, hash_of
from gateway.config.models.admin import Admin, AdminToken
from gateway.monitor.audit_log import AdminChange
from gateway.monitor.recent_requests import RecentRequests
from gateway.server import side_connections
from gateway.server.side_servers import SideServers
from tests.resilience.support import InProcess, running
from tests.support import exchange

READER, WRITER = "gwa_a-token-that-may-read-only", "gwa_a-token-that-may-also-write"
HOST = "192.0.2.7:9001"
SITE = {"origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}
CREDENTIALS = Credentials(
    Admin(
        tokens=(
            AdminToken(name="reader", hash=hash_of(READER), role="read"),
            AdminToken(name="writer", hash=hash_of(WRITER), role="write"),
        )
    ),
    None,
)


class Port:
    """An admin port that listens on another address than loopback."""

    def __init__(self, gateway: InProcess) -> None:
        self.credentials = CREDENTIALS
        self.changes: list[AdminChange] = []
        app = admin_app(
            gateway.reloader,
            gateway.metrics,
            RecentRequests(),
            Listening("192.0.2.7", 9001),
            lambda: self.credentials,
            self.changes.append,
        )
        self.app = app
        transport = httpx2.ASGITransport(cast(Any, app), client=("203.0.113.9", 1))
        self.client = httpx2.AsyncClient(transport=transport, base_url=f"http://{HOST}")

    async def sign_in(self, token: str, **headers: str) -> httpx2.Response:
        return await self.client.post("/session", json={"token": token}, headers=SITE | headers)


@asynccontextmanager
async def port(path: Path) -> AsyncIterator[Port]:
    async with running(path, "routes: [{path: /x, respond: 204}]") as gateway:
        it = Port(gateway)
        async with it.client:
            yield it


async def test_the_page_is_open_and_what_it_shows_is_not(tmp_path: Path) -> None:
    """Who has no token gets the form, and nothing else: neither by reading nor by listening."""
    async with port(tmp_path) as it:
        assert (await it.client.get("/")).status_code == 200
        assert (await it.client.get("/page/main.js")).status_code == 200
        assert (await it.client.get("/session")).json() == {"name": None, "signed_in": False, "may_read": False}
        for path in ("/health", "/events", "/requests", "/map", "/config", "/metrics", "/openapi.json", "/page"):
            assert (await it.client.get(path)).status_code == 401, path


async def test_half_a_token_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a 408, and one of a client that leaves is no error in the log; the audit log has both."""
    head = f"POST /session HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    listener = socket.create_server(("127.0.0.1", 0))
    number = listener.getsockname()[1]
    async with port(tmp_path) as it, asyncio.timeout(30):
        servers = SideServers([(it.app, [listener])])
        servers.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(head.replace("Host", "Expect: 100-continue\r\nHost").encode() + b"{")
        await reader.readuntil(b"100 Continue\r\n\r\n")
        writer.transport.abort()
        monkeypatch.setattr(side_connections, "HEAD_SECONDS", 0.1)
        assert (await exchange(number, head.encode() + b"{")).startswith(b"HTTP/1.1 408 ")
        await servers.stop()
        assert [(change.path, change.status) for change in it.changes] == [("/session", 408)] * 2
    listener.close()
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def test_a_token_is_exchanged_for_a_cookie_that_reads(tmp_path: Path) -> None:
    """No script can read the cookie, no other site can have it sent, and signing out ends it."""
    async with port(tmp_path) as it:
        answer = await it.sign_in(READER)
        assert answer.json()["name"] == "reader"
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
        assert READER not in cookie
        assert (await it.client.get("/health")).status_code == 200
        assert (await it.client.get("/session")).json() == {"name": "reader", "signed_in": True, "may_read": True}
        stolen = {"cookie": cookie.partition(";")[0]}
        await it.client.delete("/session", headers=SITE)
        assert (await it.client.get("/health", headers=stolen)).status_code == 401
        assert [(change.holder, change.status) for change in it.changes] == [("reader", 200), ("reader", 200)]


async def test_a_cookie_never_changes_anything(tmp_path: Path) -> None:
    """Also that of a token that may write: that token has to be sent in a header."""
    async with port(tmp_path) as it:
        assert (await it.sign_in(WRITER)).status_code == 200
        for method, path in (("POST", "/reload"), ("POST", "/config/rollback"), ("DELETE", "/cache?all=true")):
            assert (await it.client.request(method, path, headers=SITE)).status_code == 401
        headers = SITE | {"authorization": f"Bearer {WRITER}"}
        assert (await it.client.post("/reload", headers=headers)).status_code == 200
        assert (
            await it.client.post("/reload", headers=headers | {"authorization": f"Bearer {READER}"})
        ).status_code == 403


async def test_other_sites_get_nothing_by_the_cookie(tmp_path: Path) -> None:
    """Even where a browser would send it: what another site asks for is refused; a link to the page is followed."""
    async with port(tmp_path) as it:
        await it.sign_in(READER)
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}):
            assert (await it.client.get("/config", headers=headers)).status_code in (403, 421)
            assert (await it.client.post("/session", json={"token": READER}, headers=headers)).status_code in (403, 421)
            assert (await it.client.delete("/session", headers=headers)).status_code in (403, 421)
        link = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate"}
        assert (await it.client.get("/", headers=link)).status_code == 200
        assert (await it.client.get("/config", headers=link)).status_code == 403
        assert (await it.client.get("/", headers=link | {"sec-fetch-dest": "iframe"})).status_code == 403
        assert (await it.client.get("/session")).json()["signed_in"]


async def test_a_form_cannot_sign_a_user_in(tmp_path: Path) -> None:
    """Only JSON is taken, which no page of another site can send without asking."""
    async with port(tmp_path) as it:
        answer = await it.client.post("/session", data={"token": READER})
        assert answer.status_code == 415
        for wrong in ({}, {"token": 1}, {"token": READER, "more": 1}, {"token": ["x"]}):
            assert (await it.client.post("/session", json=wrong)).status_code == 400
        assert (await it.client.post("/session", json={"token": "x" * 5000})).status_code == 413


async def test_behind_tls_the_cookie_stays_there(tmp_path: Path) -> None:
    """Where the browser has the page by https, the cookie is only ever sent so."""
    async with port(tmp_path) as it:
        answer = await it.sign_in(READER, origin=f"https://{HOST}")
        assert answer.headers["set-cookie"].startswith("__Host-gateway_session_9001=")
        assert "Secure" in answer.headers["set-cookie"].split("; ")
        sent = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        assert (await it.client.get("/health", headers=sent)).status_code == 200


async def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    """After some wrong tokens an address has to wait, also with the right one; existing sessions continue."""
    async with port(tmp_path) as it:
        await it.sign_in(READER)
        for _ in range(TRIES.burst):
            assert (await it.sign_in("gwa_wrong")).status_code == 401
        refused = await it.sign_in(READER)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        assert (await it.client.get("/health")).status_code == 200


async def test_a_session_ends_with_its_token(tmp_path: Path) -> None:
    """Taking a token out of the configuration signs out everybody who signed in with it."""
    async with port(tmp_path) as it:
        await it.sign_in(READER)
        it.credentials = Credentials(Admin(tokens=CREDENTIALS.settings.tokens[1:]), None)
        assert (await it.client.get("/health")).status_code == 401


async def test_the_page_is_served_before_any_configuration(tmp_path: Path) -> None:
    """It says that nothing is loaded, and admits no user."""
    async with port(tmp_path) as it:
        it.credentials = Credentials(Admin(), None, loaded=False)
        assert (await it.client.get("/")).status_code == 200
        assert (await it.sign_in(READER)).status_code == 503
        assert (await it.client.get("/health")).status_code == 503


@pytest.mark.parametrize(
    "cookies",
    ["", ";;;", "=", "gateway_session_9001", "gateway_session_9001=", 'gateway_session_9001="', "{}; \x80=\xff"],
)
def test_odd_cookies_are_not_a_session(cookies: str) -> None:
    """Other programs on the same host set cookies, too."""
    sessions = Sessions(9001)
    value = sessions.begin(hash_of(READER))
    assert sessions.holder(cookies, CREDENTIALS) is None
    assert sessions.holder(f'{cookies}; a={{"b":1}}; gateway_session_9001={value}', CREDENTIALS) is not None


def test_sessions_end_in_time_and_in_number() -> None:
    """After a shift, or when a thousand others have signed in since."""
    now = 0.0
    sessions = Sessions(9001, lambda: now)
    first = f"gateway_session_9001={sessions.begin(hash_of(WRITER))}"
    assert sessions.holder(first, CREDENTIALS) == Holder("writer", "read")
    now = SECONDS
    assert sessions.holder(first, CREDENTIALS) is None
    second = f"gateway_session_9001={sessions.begin(hash_of(READER))}"
    for _ in range(MOST):
        sessions.begin(hash_of(READER))
    assert sessions.holder(second, CREDENTIALS) is None


def test_wrong_tries_are_counted_for_each_network() -> None:
    """One /64 of IPv6 is one client; what is remembered is bounded, and forgiven with time."""
    now = 0
    tries = WrongTries(lambda: now)
    for number in range(TRIES.burst):
        tries.count(f"2001:db8::{number:x}")
    assert tries.seconds_to_wait("2001:db8::ffff") == 10
    assert tries.seconds_to_wait("2001:db8:0:1::1") == 0
    now = 10_000_000_000
    assert tries.seconds_to_wait("2001:db8::1") == 0
    for number in range(2 * MOST_ADDRESSES):
        tries.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(tries._paid_back) == MOST_ADDRESSES
