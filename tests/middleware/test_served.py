"""The rules in a running gateway: on the wire, for errors of every kind, and across reloads."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.check import check
from gateway.errors import Refusal
from gateway.http import Identity
from gateway.http.testing import make_exchange
from gateway.middleware import table
from tests.support import GatewayProcess, exchange, free_port, running_gateway, scripted_backend, until

DOCUMENT = Path(__file__).parents[2] / "docs" / "writing-middleware.md"
CODE, TEST, _STREAM, REFUSAL, COUNTING, GUARDRAILS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
POLICIES, MODELS = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Redirects, and a route to a closed port."""
    routes = f"""
base_path: /api
accept_rewritten: true
routes:
- {{id: dead, path: /dead/*, methods: [GET, PUT], target: '127.0.0.1:{free_port()}'}}
- {{id: old, path: /old/*, redirect: /new/$1}}
- {{id: docs, path: '/docs/{{page}}', redirect: {{to: 'https://docs.example.com/pages/{{page}}', status: 308}}}}
- {{id: bare, path: /bare/*, redirect: {{to: /x/$1, status: 302, keep_query: false}}}}
- {{id: up, path: /up/*, redirect: /$1}}
"""
    middleware = """
request_id: {header: X-Trace, trust: always, echo: true}
cors: {app: {origins: [https://app.example.com], routes: [dead]}}
headers: {all: {response: {set: {X-Served-By: gateway}}}}
content_types: {json: {allow: [application/json]}}
"""
    with running_gateway(tmp_path_factory.mktemp("served"), routes, middleware) as process:
        yield process
        assert "Traceback" not in process.log


def ask(gateway: GatewayProcess, method: str, path: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.request(method, gateway.url + path, headers=headers or {}, follow_redirects=False)


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/old/a/b?x=1&y", 307, "/new/a/b?x=1&y"),
        ("/api/old/a", 307, "/api/new/a"),
        ("/old", 307, "/new"),
        ("/docs/setup", 308, "https://docs.example.com/pages/setup"),
        ("/api/docs/setup?v=2", 308, "https://docs.example.com/pages/setup?v=2"),
        ("/bare/z?secret=1", 302, "/x/z"),
        ("/up//evil.example.net", 307, "/evil.example.net"),
        ("/up/%2e%2e//evil.example.net/..//x", 404, None),
        ("/new/a", 404, None),
    ],
)
def test_a_route_can_redirect(gateway: GatewayProcess, path: str, status: int, location: str | None) -> None:
    """To the place in the configuration, with the query, behind the base path it came by; never to a host of the
    client's choice, and a path that has arrived is not redirected again."""
    response = ask(gateway, "GET", path)
    assert (response.status_code, response.headers.get("location")) == (status, location)


def test_a_redirect_keeps_its_target_whatever_the_host_header_says(gateway: GatewayProcess) -> None:
    """Nothing of the request but path and query goes into Location, and neither can end the line."""
    request = b"GET /up/%0d%0aX:y HTTP/1.1\r\nHost: evil.example.net\r\nConnection: close\r\n\r\n"
    assert asyncio.run(exchange(gateway.port, request)).startswith(b"HTTP/1.1 400")
    request = b"GET /up/a?b=%0d%0aX:y HTTP/1.1\r\nHost: evil.example.net\r\nConnection: close\r\n\r\n"
    assert b"\r\nlocation: /a?b=%0d%0aX:y\r\n" in asyncio.run(exchange(gateway.port, request))


def test_a_preflight_needs_no_route_for_options(gateway: GatewayProcess) -> None:
    """It is answered for the route of the request that it announces; other uses of OPTIONS are a 405 as before."""
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PUT"}
    response = ask(gateway, "OPTIONS", "/dead/x", headers)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "https://app.example.com"
    assert response.headers["access-control-allow-methods"] == "GET, PUT"
    assert ask(gateway, "OPTIONS", "/dead/x", headers | {"Access-Control-Request-Method": "DELETE"}).status_code == 405
    assert ask(gateway, "OPTIONS", "/dead/x").status_code == 405


def test_errors_carry_what_the_rules_add(gateway: GatewayProcess) -> None:
    """A 502 and a 415 can be read by the page, and have the header rules and the request id."""
    headers = {"Origin": "https://app.example.com", "X-Trace": "abc-1"}
    failed = ask(gateway, "GET", "/dead/x", headers)
    refused = httpx2.put(gateway.url + "/dead/x", headers=headers | {"Content-Type": "text/plain"}, content=b"x")
    assert (failed.status_code, refused.status_code) == (502, 415)
    for response in (failed, refused):
        assert response.headers.get_list("access-control-allow-origin") == ["https://app.example.com"]
        assert response.headers["x-served-by"] == "gateway"
        assert response.headers["x-trace"] == "abc-1"
        assert response.json()["request_id"] == "abc-1"


def test_an_id_that_is_none_is_replaced(gateway: GatewayProcess) -> None:
    """A trusted proxy still cannot write arbitrary text into the logs."""
    response = ask(gateway, "GET", "/old/x", {"X-Trace": 'a"b c'})
    assert re.fullmatch(r"[0-9a-f]{24}", response.headers["x-trace"])


async def test_a_stream_is_compressed_as_it_comes(tmp_path: Path) -> None:
    """The client reads the first piece while the backend still holds back the second; event streams stay plain."""
    more = asyncio.Event()

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        kind = b"text/event-stream" if b"/events" in head else b"application/json"
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        await more.wait()
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
        await writer.drain()

    async with scripted_backend(backend) as port:
        routes = f"- {{path: /*, target: '127.0.0.1:{port}'}}\n"
        with running_gateway(tmp_path, routes, "compression: {encodings: [br, gzip]}") as gateway:
            async with httpx2.AsyncClient() as client:
                for path, encoding in (("/x", "gzip"), ("/events", None)):
                    more.clear()
                    accepting = {"Accept-Encoding": "gzip"}
                    async with client.stream("GET", gateway.url + path, headers=accepting) as response:
                        pieces = response.aiter_bytes()
                        async with asyncio.timeout(30):
                            assert await anext(pieces) == b"first"
                        more.set()
                        assert b"".join([piece async for piece in pieces]) == b"second"
                        assert response.headers.get("content-encoding") == encoding


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    """Its class, its test and its configuration are used as they are printed: checked, served, and reloaded."""
    config = tmp_path / "config"
    with running_gateway(tmp_path, "- {path: /*, redirect: /there}\n") as gateway:
        (config / "policies").mkdir()
        (config / "policies" / "api_version.py").write_text(CODE + COUNTING)
        (config / "test_api_version.py").write_text(TEST)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
        tested = subprocess.run(command, cwd=config, capture_output=True, text=True, check=False, timeout=50)
        assert tested.returncode == 0, tested.stdout
        assert "2 passed" in tested.stdout
        gateway.write(middleware=POLICIES)
        until(lambda: ask(gateway, "GET", "/").status_code == 400)
        assert ask(gateway, "GET", "/").json()["detail"] == "this API needs version 3 or newer"
        passed = ask(gateway, "GET", "/", {"X-Api-Version": "3"})
        assert (passed.status_code, passed.headers["x-api-minimum"]) == (307, "3")

        edited = config / "edited.py"
        edited.write_text(CODE.replace("this API needs", "we need"))
        edited.rename(config / "policies" / "api_version.py")
        until(lambda: ask(gateway, "GET", "/").json()["detail"] == "we need version 3 or newer")

        edited.write_text(CODE.replace("async def checked(exchange: Exchange) -> Response:", "async def checked("))
        edited.rename(config / "policies" / "api_version.py")
        until(lambda: "policies/api_version.py:" in gateway.log)
        assert ask(gateway, "GET", "/").json()["detail"] == "we need version 3 or newer"

        shutil.rmtree(config / "policies")
        until(lambda: "policies/api_version.py cannot be read" in gateway.log)
        assert ask(gateway, "GET", "/").json()["detail"] == "we need version 3 or newer"


def test_the_refusal_of_the_documentation_works() -> None:
    """It is raised as printed, with its status, type and members."""
    made: dict[str, Any] = {}
    exec(REFUSAL, made)
    exchange = make_exchange()
    exchange.identity = Identity("acme", "key", tenant="poor")
    with pytest.raises(Refusal, match="top up") as raised:
        asyncio.run(made["Credit"]().explain(exchange))
    assert (raised.value.kind.status, raised.value.kind.slug, raised.value.members) == (
        402,
        "no-credit",
        {"balance": 0},
    )


def test_check_warns_of_an_order_that_opens_a_hole(tmp_path: Path) -> None:
    """And of a pattern that is for no route; both are served all the same."""
    names = [policy.name for policy in table.POLICIES if policy.name not in ("policies", "body_limit")]
    (tmp_path / "routes.yaml").write_text("- {id: a, path: /*, redirect: /there}\n")
    (tmp_path / "middleware.yaml").write_text(
        f"order: [policies, body_limit, {', '.join(names)}]\nip_allow: {{x: {{networks: ['::1'], routes: [b-*]}}}}\n"
    )
    found = [str(problem) for problem in check(tmp_path, {})]
    assert found == [
        "middleware.yaml:1:9: order[0]: policies is in front of body_limit, so that a policy that reads the body reads"
        " any amount",
        "middleware.yaml:2:44: ip_allow.x.routes[0]: no route has an id like b-*",
    ]


def test_check_says_what_an_order_leaves_out_and_what_stands_in_front_of_the_authentication(tmp_path: Path) -> None:
    """Only of a limit that asks who calls it matters whether that is known."""
    names = [policy.name for policy in table.POLICIES if policy.name != "compression"]
    (tmp_path / "routes.yaml").write_text("- {id: a, path: /*, redirect: /there}\n")
    (tmp_path / "middleware.yaml").write_text(
        f"order: [rate_limits.ip, rate_limits.who, {', '.join(names)}]\n"
        "rate_limits: {ip: {key: [address], limits: [1/s]}, who: {limits: [1/s]}}\n"
    )
    assert [str(problem) for problem in check(tmp_path, {})] == [
        "middleware.yaml:1:1: order: policies that it does not name take their default places: compression (behind "
        "response_headers); name it to say so, or to have it elsewhere",
        "middleware.yaml:1:25: order[1]: rate_limits.who is in front of authentication, so that limits by consumer or"
        " tenant count addresses instead",
    ]


def test_check_says_where_what_an_order_leaves_out_really_stands(tmp_path: Path) -> None:
    """And what comes of it, where no place is right: the quota that the file puts in front cannot be behind it."""
    names = [policy.name for policy in table.POLICIES if policy.name not in ("quotas", "authorization")]
    (tmp_path / "routes.yaml").write_text("- {id: a, path: /*, redirect: /there}\n")
    (tmp_path / "middleware.yaml").write_text(f"order: [quotas, {', '.join(names)}]\n")
    found = [str(problem) for problem in check(tmp_path, {})]
    assert "take their default places: authorization (behind authentication)" in found[0]
    assert any("quotas is in front of authorization, so that" in line for line in found), found


@pytest.mark.parametrize(("per", "warned"), [("", True), (", per: [address]", False), (", per: [consumer]", False)])
def test_check_warns_where_a_file_relies_on_the_former_default(tmp_path: Path, per: str, warned: bool) -> None:
    """Who is banned has changed: a file that does not say it is pointed to."""
    (tmp_path / "routes.yaml").write_text("- {id: a, path: /*, redirect: /there}\n")
    (tmp_path / "middleware.yaml").write_text(f"blocklist: {{automatic: {{failures: 3{per}}}}}\n")
    assert ["per is not given" in str(problem) for problem in check(tmp_path, {})] == [True] * warned


def test_the_guardrails_of_the_page_are_loaded(tmp_path: Path) -> None:
    """As they stand there, beside the models.yaml that names them: `check` finds nothing wrong with the classes."""
    (tmp_path / "guards.py").write_text(GUARDRAILS)
    (tmp_path / "models.yaml").write_text(MODELS)
    (tmp_path / "routes.yaml").write_text("routes: [{path: /v1/*, target: models, auth: []}]\n")
    assert check(tmp_path, {}) == []
