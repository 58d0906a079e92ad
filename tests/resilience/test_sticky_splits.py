"""Clients that stay with the service that a split gave them, by a cookie."""

from __future__ import annotations

from collections import Counter
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from gateway.http import Exchange, Response
from gateway.http.testing import make_exchange
from gateway.upstream.split import Split
from tests.resilience.support import InProcess, backend, response, running

OLD, NEW = response(200, b"old"), response(200, b"new")


def files(old: str, new: str, *weights: int | None, more: str = "", target: str = "v1") -> str:
    """Two versions with these weights; None: without an entry."""
    entries = ", ".join(
        f"{{target: v{number}, weight: {weight}}}" for number, weight in enumerate(weights, 1) if weight is not None
    )
    services = f"services: {{v1: {{endpoints: ['{old}']}}, v2: {{endpoints: ['{new}']}}, v3: {{endpoints: ['{new}']}}}}"
    route = f"path: /*, target: {target}, sticky: {{cookie: gw}}, split: [{entries}{more}]"
    return f"{services}\nroutes: [{{{route}}}]"


async def answers(split: Split, exchange: Exchange) -> tuple[str, str]:
    """Which service it gets, and the value of the cookie that is set."""
    answered = Response(200, [])
    chosen = split.choose(exchange)
    assert split.keeping is not None
    split.keeping.remember(exchange, chosen.name, answered)
    set_cookie = dict(answered.headers).get(b"set-cookie", b"").decode()
    return chosen.name, set_cookie.partition(";")[0].removeprefix("gw=")


def split_of(gateway: InProcess, route: int = 0) -> Split:
    forward = gateway.handler(route).forward
    assert isinstance(forward, Split)
    return forward


async def test_a_client_keeps_its_version(tmp_path: Path) -> None:
    """When all weight goes to the new version, who has the cookie of the old one stays there until that is removed."""
    async with backend(OLD) as one, backend(NEW) as two:
        old, new = one.address, two.address
        async with running(tmp_path, files(old, new, 1, 0)) as gateway:
            first = await gateway.get()
            assert first.text == "old"
            (cookie,) = SimpleCookie(first.headers["set-cookie"]).values()
            assert (cookie.key, cookie["path"], cookie["samesite"], cookie["httponly"]) == ("gw", "/", "Lax", True)
            await gateway.reload(files(old, new, 0, 1))
            again = await gateway.get()
            assert (again.text, "set-cookie" in again.headers) == ("old", False)
            explained = await gateway.admin.get("/explain", params={"url": "/", "header": f"Cookie: gw={cookie.value}"})
            said = "split: v1, since the client has its cookie; no others get there, as its weight is 0"
            assert said in explained.json()["resilience"]
            gateway.client.cookies.clear()
            assert (await gateway.get()).text == "new"
            gateway.client.cookies.clear()
            gateway.client.cookies.set("gw", cookie.value)
            await gateway.reload(files(old, new, None, 1, target="v2"))
            moved = await gateway.get()
            assert moved.text == "new"
            assert moved.headers["set-cookie"].startswith("gw=")


async def test_a_change_of_weights_is_for_new_clients(tmp_path: Path) -> None:
    """From 90/10 to 10/90 every client with a cookie stays, and of new ones nine in ten get the other version."""
    async with running(tmp_path, files("a:1", "b:1", 90, 10)) as gateway:
        before = {}
        for number in range(1000):
            client = f"10.0.{number >> 8}.{number & 255}"
            before[client] = await answers(split_of(gateway), make_exchange(client=client))
        assert Counter(name for name, _ in before.values())["v2"] == pytest.approx(100, abs=40)
        await gateway.reload(files("a:1", "b:1", 10, 90))
        for client, (name, token) in before.items():
            bound = make_exchange(client=client, headers=[("cookie", f"gw={token}")])
            assert await answers(split_of(gateway), bound) == (name, "")
        new = [split_of(gateway).choose(make_exchange(client=client)).name for client in before]
        assert Counter(new)["v2"] == pytest.approx(900, abs=40)


@pytest.mark.parametrize("forged", ["v2", "x" * 20, '""'])
async def test_a_cookie_that_is_not_ours_binds_to_nothing(tmp_path: Path, forged: str) -> None:
    """A client cannot choose a version by a forged cookie."""
    async with running(tmp_path, files("a:1", "b:1", 1, 0)) as gateway:
        name, token = await answers(split_of(gateway), make_exchange(headers=[("cookie", f"gw={forged}")]))
        assert name == "v1"
        assert token not in ("", forged)


async def test_a_when_decides_without_a_cookie(tmp_path: Path) -> None:
    """Who asks for the canary once gets it once, whatever the cookie says; it sets none."""
    when = ", {target: v3, when: {header: {x-canary: 'yes'}}}"
    async with (
        backend(OLD) as old,
        backend(NEW) as new,
        running(tmp_path, files(old.address, new.address, 1, 0, more=when)) as gateway,
    ):
        canary = await gateway.get(headers={"x-canary": "yes"})
        assert (canary.text, "set-cookie" in canary.headers) == ("new", False)
        assert (await gateway.get()).text == "old"
        assert (await gateway.get(headers={"x-canary": "yes"})).text == "new"
        assert (await gateway.get()).text == "old"


async def test_a_failure_sets_no_cookie(tmp_path: Path) -> None:
    """An answer 500 sets no cookie, and one of the gateway's own sets none either."""
    async with (
        backend(response(500), None) as bad,
        running(tmp_path, files(bad.address, bad.address, 1, 0)) as gateway,
    ):
        for status in (500, 502):
            answer = await gateway.get()
            assert (answer.status_code, "set-cookie" in answer.headers) == (status, False)


async def test_all_drained(tmp_path: Path) -> None:
    """Where all weights are 0 the target of the route gets the new clients, and keeps them too."""
    async with running(tmp_path, files("a:1", "b:1", 1, 0)) as gateway:
        _, old = await answers(split_of(gateway), make_exchange())
        await gateway.reload(files("a:1", "b:1", 0, 0, target="v3"))
        split = split_of(gateway)
        assert split.choose(make_exchange(headers=[("cookie", f"gw={old}")])).name == "v1"
        name, token = await answers(split, make_exchange())
        assert name == "v3"
        await gateway.reload(files("a:1", "b:1", 1, 0, more=", {target: v3, weight: 0}"))
        assert split_of(gateway).choose(make_exchange(headers=[("cookie", f"gw={token}")])).name == "v3"


async def test_routes_that_share_a_cookie(tmp_path: Path) -> None:
    """A client has the same version on all routes that are split over the same services by one cookie."""
    text = files("a:1", "b:1", 50, 50)
    route = text[text.index("{path") : -1]
    async with running(tmp_path, f"{text[:-1]}, {route.replace('/*', '/other/*')}]") as gateway:
        for number in range(50):
            name, token = await answers(split_of(gateway), make_exchange(client=f"10.0.0.{number}"))
            bound = make_exchange(client=f"10.9.9.{number}", headers=[("cookie", f"gw={token}")])
            assert await answers(split_of(gateway, 1), bound) == (name, "")


async def test_split_first_then_endpoint(tmp_path: Path) -> None:
    """With sticky endpoints as well there are two cookies, and both bind."""
    async with backend(response(200, b"1")) as one, backend(response(200, b"2")) as two:
        text = files("a:1", "b:1", 1, 0).replace("'a:1'", f"'{one.address}', '{two.address}'")
        text = text.replace("{v1: {", "{v1: {balance: {sticky: {cookie: gw-endpoint}}, ")
        async with running(tmp_path, text) as gateway:
            first = await gateway.get()
            names = [line.partition("=")[0] for line in first.headers.get_list("set-cookie")]
            assert sorted(names) == ["gw", "gw-endpoint"]
            assert {(await gateway.get()).text for _ in range(10)} == {first.text}
