"""Clients that stay with their endpoint."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from gateway.balancing.least_request import LeastRequest
from gateway.deadlines import Deadlines
from gateway.http import Exchange, Response
from gateway.http.testing import make_exchange
from gateway.upstream.health import Signal
from gateway.upstream.member import Address, Member
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.sticky import KEY_FILE, CookieKey, StickyCookie
from gateway.upstream.transport import Connector, Resolver
from tests.support import running_gateway, scripted_backend
from tests.upstream.wire import always

COOKIE = StickyCookie("gw", CookieKey("0123456789abcdef"))


def members(*weights: int) -> list[Member]:
    return [Member(Address(f"10.0.0.{number}", 80), weight) for number, weight in enumerate(weights)]


def upstream_of(*weights: int, cookie: StickyCookie = COOKIE) -> Upstream:
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    return Upstream("s", connector, Settings(LeastRequest, sticky=cookie), members(*weights))


def ask(upstream: Upstream, cookie: str = "", *, status: int = 200, scheme: str = "http") -> tuple[str, str]:
    """The endpoint that gets the request, and the line that sets a cookie."""
    exchange = make_exchange(headers=[("cookie", f"other=1; gw={cookie}")] if cookie else [])
    exchange.scheme = scheme
    return _answer(upstream, exchange, status)


def _answer(upstream: Upstream, exchange: Exchange, status: int) -> tuple[str, str]:
    endpoint = upstream.pick(exchange, 0.0, ())
    assert endpoint is not None
    assert upstream.affinity is not None
    response = Response(status, [])
    upstream.affinity.remember(exchange, endpoint, response)
    return endpoint.address.host, dict(response.headers).get(b"set-cookie", b"").decode()


def value(line: str) -> str:
    return line.partition(";")[0].removeprefix("gw=")


async def test_a_client_stays_with_its_endpoint() -> None:
    """The first answer sets a cookie; with it every request goes to the same endpoint, and no other cookie is set."""
    upstream = upstream_of(1, 1, 1)
    host, line = ask(upstream)
    assert {ask(upstream, value(line)) for _ in range(20)} == {(host, "")}
    assert host not in line
    assert len({ask(upstream)[0] for _ in range(50)}) == 3


@pytest.mark.parametrize("forged", ["10.0.0.1:80", "x" * 20, '""', "%00"])
async def test_a_cookie_that_is_not_ours_binds_to_nothing(forged: str) -> None:
    """It is answered by any endpoint, with a cookie of that."""
    upstream = upstream_of(1, 1, 1)
    answers = [ask(upstream, forged) for _ in range(50)]
    assert len({host for host, _ in answers}) == 3
    assert all(line for _, line in answers)


async def test_a_cookie_of_the_same_name_beside_it() -> None:
    """A browser sends cookies of other paths as well, in front perhaps; ours counts, and is not set again."""
    upstream = upstream_of(1, 1, 1)
    host, line = ask(upstream)
    assert {ask(upstream, f"foreign; gw={value(line)}") for _ in range(20)} == {(host, "")}


async def test_gateways_with_the_same_secret_agree() -> None:
    """A cookie of one gateway is good at another one with its secret, and at no other."""
    host, line = ask(upstream_of(1, 1, 1))
    others = [upstream_of(1, 1, 1, cookie=StickyCookie("gw", CookieKey(key))) for key in ("0123456789abcdef", "f" * 16)]
    assert ask(others[0], value(line)) == (host, "")
    assert ask(others[1], value(line))[1]


async def test_weight_zero_keeps_the_clients_that_it_has() -> None:
    """Draining, an endpoint gets no new clients, and those that hold its cookie stay."""
    upstream = upstream_of(1, 0, 0)
    host, line = ask(upstream)
    upstream.replace(members(0, 1, 1))
    assert ask(upstream, value(line)) == (host, "")
    assert host not in Counter(ask(upstream)[0] for _ in range(30))


@pytest.mark.parametrize("gone", [True, False])
async def test_a_client_whose_endpoint_is_away_gets_another(gone: bool) -> None:
    """Where it has left or is down, the client is bound to another one from then on."""
    upstream = upstream_of(1, 0, 0)
    host, line = ask(upstream)
    upstream.replace(members(1, 1, 1)[gone:])
    if not gone:
        upstream.report(upstream.endpoints[0], Signal.PROBE, up=False, reason="a test", now=0.0)
    other, fresh = ask(upstream, value(line))
    assert other != host
    assert {ask(upstream, value(fresh)) for _ in range(10)} == {(other, "")}


async def test_a_failure_sets_no_cookie() -> None:
    """An answer 500 sets no cookie."""
    assert ask(upstream_of(1), status=500)[1] == ""


@pytest.mark.parametrize(
    ("cookie", "scheme", "attributes"),
    [
        (COOKIE, "http", "Path=/; HttpOnly; SameSite=Lax"),
        (COOKIE, "https", "Path=/; HttpOnly; SameSite=Lax; Secure"),
        (StickyCookie("gw", COOKIE.key, 3600, "none"), "http", "Path=/; Max-Age=3600; HttpOnly; SameSite=None; Secure"),
    ],
)
async def test_the_attributes_of_the_cookie(cookie: StickyCookie, scheme: str, attributes: str) -> None:
    """No script can read it, other sites cannot send it, and what came over https goes over https only."""
    _, line = ask(upstream_of(1, cookie=cookie), scheme=scheme)
    assert line.partition("; ")[2] == attributes


async def test_a_key_is_made_and_kept(tmp_path: Path) -> None:
    """Without a secret one is made that no one else can read, and it is the same after a restart."""
    path = tmp_path / "state" / KEY_FILE
    first, second = CookieKey(path=path), CookieKey(path=path)
    await first.start()
    await second.start()
    assert first.value == second.value == path.read_bytes()
    assert len(first.value) == 32
    assert path.stat().st_mode & 0o077 == 0
    assert [each.name for each in path.parent.iterdir()] == [KEY_FILE]


async def test_a_key_that_cannot_be_kept_is_a_trouble(tmp_path: Path) -> None:
    """Clients are bound as long as the process lives, and it is said that this is all."""
    (tmp_path / "file").write_text("")
    key = CookieKey(path=tmp_path / "file" / KEY_FILE)
    await key.start()
    assert len(key.value) == 32
    assert "cannot be kept" in next(iter(key.troubles()))


@pytest.mark.parametrize("contents", [b"", b"short"])
async def test_an_empty_key_signs_nothing(tmp_path: Path, contents: bytes) -> None:
    """A file that was cut short, by a full disk perhaps, would allow forged cookies."""
    path = tmp_path / KEY_FILE
    path.write_bytes(contents)
    key = CookieKey(path=path)
    await key.start()
    assert len(key.value) == 32
    assert "it has no key; remove it" in "".join(key.troubles())


async def test_through_a_gateway(tmp_path: Path) -> None:
    """As configured in one line: a browser with the cookie stays, one without goes anywhere."""
    answers = [f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}".encode() for number in range(2)]
    async with scripted_backend(always(answers[0])) as one, scripted_backend(always(answers[1])) as two:
        service = "services: {s: {balance: {sticky: {cookie: gw}}, endpoints: ['127.0.0.1:%d', '127.0.0.1:%d']}}\n"
        with running_gateway(tmp_path, service % (one, two) + "routes: [{path: /*, target: s}]") as gateway:
            async with httpx2.AsyncClient(base_url=gateway.url) as client:
                first = await client.get("/")
                assert first.headers["set-cookie"].startswith("gw=")
                assert {(await client.get("/")).text for _ in range(10)} == {first.text}
                async with httpx2.AsyncClient(base_url=gateway.url) as other:
                    seen = set()
                    for _ in range(20):
                        other.cookies.clear()
                        seen.add((await other.get("/")).text)
                    assert len(seen) == 2
