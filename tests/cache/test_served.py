"""The cache in a running gateway: on the wire, in the log, by the admin port, in Redis, across a reload."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from gateway.check import check
from tests.lifecycle.support import admin_url
from tests.redis_server import RedisServer
from tests.resilience.support import backend, response, running
from tests.support import GatewayProcess, eventually, read_head, running_gateway, scripted_backend, until

ROUTES = """
- {id: pages, path: /pages/*, target: '127.0.0.1:%d'}
- {id: users, path: /users/*, target: '127.0.0.1:%d', auth: keys}
"""
AUTH = """
schemes: {keys: {api_key: {query: key}}}
consumers: [{name: acme, keys: [{hash: "%s"}]}]
"""
LARGE = b"line of text\n" * 40_000


class Backend:
    """Counts its requests, and says the number in `x-number`. Below /large, half of a large page until `more`."""

    def __init__(self) -> None:
        self.count = 0
        self.more = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            self.count += 1
            body = LARGE if b"/large" in head else b"page " * 400
            writer.write(
                b'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncache-control: max-age=60\r\netag: "%d"\r\n'
                b"x-number: %d\r\ncontent-length: %d\r\n\r\n" % (self.count, self.count, len(body))
            )
            if head.startswith(b"HEAD "):
                continue
            if b"/large" in head:
                writer.write(body[:200_000])
                await self.more.wait()
                body = body[200_000:]
            writer.write(body)
            await writer.drain()


@asynccontextmanager
async def served(
    tmp_path: Path, middleware: str, site: Backend, auth: str = ""
) -> AsyncIterator[tuple[GatewayProcess, httpx2.AsyncClient]]:
    async with scripted_backend(site) as port:
        routes = "".join(
            line.replace("%d", str(port)) for line in ROUTES.splitlines(keepends=True) if auth or "auth" not in line
        )
        with running_gateway(tmp_path, routes, middleware, auth or None) as gateway:
            async with httpx2.AsyncClient(timeout=10) as client:
                yield gateway, client
            assert "Traceback" not in gateway.log


async def test_the_second_client_gets_what_the_first_one_got(tmp_path: Path) -> None:
    """Compressed for whom wants that, a 304 to whom has it, the head to HEAD; the log says where it came from."""
    site = Backend()
    middleware = "cache: {}\ncompression: {encodings: [gzip]}\n"
    async with served(tmp_path, middleware, site) as (gateway, client):
        url = f"{gateway.url}/pages/1"
        first = await client.get(url, headers={"Accept-Encoding": "identity"})
        packed = await client.get(url, headers={"Accept-Encoding": "gzip"})
        head = await client.head(url, headers={"Accept-Encoding": "identity"})
        known = await client.get(url, headers={"If-None-Match": first.headers["etag"], "Accept-Encoding": "identity"})
        assert first.text == packed.text == "page " * 400
        assert packed.headers["content-encoding"] == "gzip"
        assert (head.status_code, head.headers["content-length"], known.status_code) == (200, "2000", 304)
        assert first.headers["cache-status"] == "gateway; fwd=miss; fwd-status=200; stored"
        assert all(each.headers["cache-status"].startswith("gateway; hit; ttl=") for each in (packed, head, known))
        assert site.count == 1
        await eventually(lambda: gateway.access_log.count('"/pages/1"') >= 8)
        lines = [json.loads(line) for line in gateway.access_log.splitlines()]
        assert [line["cache"] for line in lines if line["path"] == "/pages/1"] == ["miss", "hit", "hit", "hit"]
        explained = (await client.get(admin_url(gateway, f"/explain?url={url}"))).json()
        assert any(rule.startswith("allow cache: a stored response is used") for rule in explained["rules"])
        metrics = (await client.get(admin_url(gateway, "/metrics"))).text
        assert "gateway_cache_hits_total 3.0" in metrics


async def test_a_client_that_leaves_in_the_middle_leaves_a_whole_page(tmp_path: Path) -> None:
    """Over the wire: the connection to the backend goes on to the end of the response."""
    site = Backend()
    async with served(tmp_path, "cache: {}\n", site) as (gateway, client):
        url = f"{gateway.url}/pages/large"
        async with client.stream("GET", url) as response:
            await anext(response.aiter_raw())
        second = asyncio.create_task(client.get(url))
        site.more.set()
        assert (await second).content == LARGE
        assert (await client.get(url)).content == LARGE
        assert site.count == 1


async def test_a_purge_is_for_who_may_change_things(tmp_path: Path) -> None:
    """By route, path or prefix; what it was and who did it are in the log; a mistake says what there is."""
    site = Backend()
    async with served(tmp_path, "cache: {}\naudit_log: {file: audit.log}\n", site) as (gateway, client):

        async def purge(query: str, status: int = 200) -> httpx2.Response:
            answer = await client.delete(admin_url(gateway, f"/cache?{query}"), headers=gateway.admin_token)
            assert answer.status_code == status
            return answer

        for number in range(3):
            await client.get(f"{gateway.url}/pages/{number}")
        assert (await client.delete(admin_url(gateway, "/cache?all=true"))).status_code == 401
        first = (await purge("path=/pages/0")).json()
        assert (first["purged"], first["reached"].partition(":")[0]) == (1, "this process")
        assert (await purge("route=pages")).json()["purged"] == 2
        assert (await client.get(f"{gateway.url}/pages/1")).headers["x-number"] == "4"
        assert (await purge("all=true")).json()["purged"] == 1
        assert "all=true" in (await purge("", 400)).json()["error"]
        assert "all=true" in (await purge("all=true&path=/x", 400)).json()["error"]
        assert "all=true" in (await purge("pattern=x", 400)).json()["error"]
        assert "GET /routes lists them" in (await purge("route=nobody", 400)).json()["error"]
        (shown,) = (await client.get(admin_url(gateway, "/cache"))).json()
        assert (shown["stored_total"], shown["purged_total"], shown["bytes"]) == (4, 4, 0)
        await eventually(lambda: "purged: 1 response, by path=/pages/0" in gateway.log)


async def test_a_key_in_the_query_is_a_credential_on_every_route(tmp_path: Path) -> None:
    """Also on one that does not ask for it, where it is taken out of what the backend gets."""
    site = Backend()
    async with served(tmp_path, "cache: {}\n", site, AUTH % ("sha256:" + "0" * 64)) as (gateway, client):
        for number in ("1", "2"):
            answer = await client.get(f"{gateway.url}/pages/1?key=secret")
            assert (answer.headers["x-number"], answer.headers["cache-status"]) == (number, "gateway; fwd=bypass")
        assert (await client.get(f"{gateway.url}/pages/1")).headers["x-number"] == "3"


async def test_gateways_share_what_is_in_redis(tmp_path: Path, redis: RedisServer) -> None:
    """One answers with what the other has stored; a purge by the one reaches the other."""
    site = Backend()
    middleware = f"redis: {{url: '{redis.url}', timeout: 1s}}\ncache: {{store: redis}}\n"
    (tmp_path / "other").mkdir()
    async with served(tmp_path, middleware, site) as (one, client):
        routes = (one.directory / "routes.yaml").read_text()
        with running_gateway(tmp_path / "other", routes, middleware) as two:
            headers = {"Host": "api.example.com"}
            first = await client.get(f"{one.url}/pages/1", headers=headers)
            until(lambda: httpx2.get(admin_url(one, "/cache")).json()[0]["stored_total"] == 1)
            second = await client.get(f"{two.url}/pages/1", headers=headers)
            purged = await client.delete(admin_url(one, "/cache?all=true"), headers=one.admin_token)
            third = await client.get(f"{two.url}/pages/1", headers=headers)
    assert (first.headers["x-number"], second.headers["x-number"]) == ("1", "1")
    assert second.headers["cache-status"].startswith("gateway; hit; ttl=")
    assert purged.json() == {"purged": 1, "reached": "all gateways of this Redis"}
    assert third.headers["x-number"] == "2"


async def test_a_canary_is_not_served_to_everybody(tmp_path: Path) -> None:
    """A route with a split: the cache keeps what each of its services answers apart."""
    page = "Cache-Control: max-age=60"
    routes = """
routes:
- path: /*
  target: '{old}'
  cache: {{}}
  split: [{{target: '{old}', weight: 1}}, {{target: '{new}', weight: 0, when: {{header: {{x-canary: "yes"}}}}}}]
"""
    async with (
        backend(response(200, b"old", page)) as old,
        backend(response(200, b"new", page)) as new,
        running(tmp_path, routes.format(old=old.address, new=new.address)) as gateway,
    ):
        headers: tuple[dict[str, str], ...] = ({"x-canary": "yes"}, {})
        texts = [(await gateway.get("/a", headers=each)).text for each in headers * 2]
        assert texts == ["new", "old", "new", "old"]
        assert (len(old.requests), len(new.requests)) == (1, 1)


def test_check_warns_of_what_has_no_effect(tmp_path: Path) -> None:
    """A cache where nothing can be stored."""
    (tmp_path / "routes.yaml").write_text(
        "- {id: moved, path: /a, redirect: /b, cache: true}\n"
        "- {id: writes, path: /c, methods: [POST], target: 'backend:80', cache: {vary: [x-a]}}\n"
    )
    (tmp_path / "middleware.yaml").write_text("cache: {size: 1MiB, max_body: 1MiB}\n")
    warnings = [str(problem) for problem in check(tmp_path, {})]
    assert any("routes[0].cache" in warning and "redirect" in warning for warning in warnings)
    assert any("routes[1].cache" in warning and "GET" in warning for warning in warnings)
    assert any("cache.max_body" in warning and "sixteenth" in warning for warning in warnings)
