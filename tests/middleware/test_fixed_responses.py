"""Routes that answer by themselves, as users of Kong's request-termination expect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.check import check, compile_offline
from gateway.explain import explain
from tests.middleware.support import errors
from tests.resilience.support import backend, running
from tests.support import GatewayProcess, exchange, running_gateway

ROUTES = """
routes:
- {id: gone, path: /v1/*, respond: 410, auth: []}
- id: closed
  path: /shop/*
  methods: [GET, POST]
  respond:
    status: 503
    body: |
      <h1>Back at noon</h1>
    headers: {Content-Type: text/html, Retry-After: "3600"}
- {id: mine, path: /mine, respond: {body: fine}, auth: [keys]}
- {id: empty, path: /empty, respond: {status: 204}}
"""
AUTH = "schemes: {keys: {api_key: {header: X-Api-Key}}}\n"
MIDDLEWARE = """
cors: {app: {origins: [https://app.example.com], routes: [closed]}}
rate_limits: {few: {key: [address], limits: [2/h], routes: [gone]}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("fixed"), ROUTES, MIDDLEWARE, AUTH) as process:
        yield process
        assert "Traceback" not in process.log


def test_a_route_answers_by_itself(gateway: GatewayProcess) -> None:
    """With the status, body and headers of the file; without a body there is no content type."""
    page = httpx2.get(gateway.url + "/shop/cart?x=1")
    assert (page.status_code, page.text) == (503, "<h1>Back at noon</h1>\n")
    assert (page.headers["content-type"], page.headers["retry-after"]) == ("text/html", "3600")
    empty = httpx2.get(gateway.url + "/empty")
    assert (empty.status_code, empty.content, "content-type" in empty.headers) == (204, b"", False)


def test_the_connection_goes_on_behind_a_fixed_response(gateway: GatewayProcess) -> None:
    """HEAD has the length and not the body, and an unread body is not taken for the next request."""
    asked = b"HEAD /shop/ HTTP/1.1\r\nHost: a\r\n\r\n"
    asked += b"POST /shop/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /"
    asked += b"GET /api/empty HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answered = asyncio.run(exchange(gateway.port, asked))
    assert answered.count(b"HTTP/1.1 503 ") == 2
    assert answered.count(b"content-length: 22\r\n") == 2
    assert answered.count(b"Back at noon") == 1
    assert b"HTTP/1.1 204 " in answered


def test_the_policies_of_the_route_come_first(gateway: GatewayProcess) -> None:
    """Who may not call gets a 401, too many calls are a 429, and CORS lets a page read the answer."""
    assert httpx2.get(gateway.url + "/mine").status_code == 401
    assert [httpx2.get(gateway.url + "/v1/a").status_code for _ in range(3)] == [410, 410, 429]
    origin = {"Origin": "https://app.example.com"}
    assert httpx2.get(gateway.url + "/shop/", headers=origin).headers["access-control-allow-origin"] == origin["Origin"]
    assert httpx2.delete(gateway.url + "/shop/").status_code == 405


async def test_a_maintenance_page_comes_and_goes_with_a_reload(tmp_path: Path) -> None:
    """One route is answered here meanwhile, and the others go on."""
    async with backend() as shop:
        open_ = f"- {{id: shop, path: /shop/*, target: '{shop.address}'}}\n"
        others = f"- {{id: rest, path: /*, target: '{shop.address}'}}\n"
        async with running(tmp_path, open_ + others) as process:
            assert (await process.get("/shop/a")).text == "ok"
            await process.reload("- {id: shop, path: /shop/*, respond: {status: 503, body: soon}}\n" + others)
            closed = await process.get("/shop/a")
            assert (closed.status_code, closed.text) == (503, "soon")
            assert closed.headers["content-type"] == "text/plain; charset=utf-8"
            assert (await process.get("/other")).text == "ok"
            await process.reload(open_ + others)
            assert (await process.get("/shop/a")).text == "ok"


def test_explain_says_that_the_gateway_answers(tmp_path: Path) -> None:
    """In the place of what is sent, and where it would go."""
    (tmp_path / "routes.yaml").write_text("- {id: gone, path: /v1/*, respond: 410}\n")
    expected = asyncio.run(explain(compile_offline(tmp_path), "GET", "/v1/a", []))
    assert expected["result"] == 'route "gone"'
    assert expected["sent"] == "nothing: the gateway itself answers 410"
    assert (expected["handlers"][-1], expected["endpoints"]) == ("respond 410", ["respond 410"])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("target: 'a:1', respond: 410", "target and respond exclude each other; remove one of them"),
        ("redirect: /b, respond: 410", "redirect and respond exclude each other; remove one of them"),
        ("respond: 410, rewrite: /b", "the gateway itself answers this route; remove rewrite and strip_prefix"),
        ("respond: {status: 204, body: x}", "a response with the status 204 has no body; remove it, or take"),
        ("respond: 100", "expected a number of at least 200 (got 100)"),
        ("respond: {headers: {Content-Length: '3'}}", "this header says how a message is framed"),
        ("respond: {headers: {X-A: 'é'}}", "the value of a header is printable ASCII"),
        ("respond: {headers: {X-A: a, x-a: b}}", "a header is duplicated"),
    ],
)
def test_what_makes_no_answer_is_refused(keys: str, expected: str) -> None:
    """Each with what to do."""
    (error,) = errors("", routes=f"- {{path: /a, {keys}}}\n")
    assert "routes[0]" in error
    assert expected in error


def test_check_warns_of_keys_that_nothing_comes_of(tmp_path: Path) -> None:
    """No backend is asked, so that nothing is tried again, timed or stored."""
    keys = "respond: 410, retry: {attempts: 2}, timeout: 3s, cache: true"
    (tmp_path / "routes.yaml").write_text(f"- {{path: /a, {keys}}}\n")
    expected = [str(problem).partition("routes[0].")[2].partition(":")[0] for problem in check(tmp_path, {})]
    assert sorted(expected) == ["cache", "retry", "timeout"]
