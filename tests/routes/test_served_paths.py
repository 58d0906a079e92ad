"""Paths on the wire: what is matched is what is meant, and what is sent is what came."""

from __future__ import annotations

import json
from collections.abc import Iterator

import orjson
import pytest

from tests.server.backend import Backend, running_backend
from tests.server.client import Answer, connected
from tests.support import GatewayProcess, running_gateway, until

ROUTES = """
accept_rewritten: true
routes:
- {{id: guarded, path: /g/*, target: 'b', authorize: [{{when: 'not path.startswith("/g/private")'}}]}}
- {{id: verb, path: '/v1/users:delete', target: 'b', authorize: [{{when: 'method == "DELETE"'}}]}}
- {{id: open, path: /v1/*, target: 'b'}}
- {{id: merged, path: /merged/*, target: 'b', merge_slashes: true}}
- {{id: stripped, path: /s/files/*, target: 'b', strip_prefix: /s}}
- {{id: rewritten, path: '/r/{{bucket}}/*', target: 'b', rewrite: '/store/{{bucket}}/$2',
   authorize: [{{when: 'not path.startswith("/r/secret")'}}]}}
- {{id: dropping, path: '/d/{{tenant}}/*', target: 'b', rewrite: '/dropped/$2'}}
- {{id: spelled, path: '/q/{{name}}', target: 'b', rewrite: '/x%3By/{{name}}.json'}}
- {{id: packages, path: /npm/*, target: 'b', allow_encoded_slashes: true}}
- {{id: up, path: /up/*, redirect: /$1}}
- {{id: away, path: /away/*, redirect: 'https://a.example/x/$1'}}
- {{id: out, path: /out/*, redirect: 'https://a.example/$1'}}
services:
  b: {{endpoints: ['127.0.0.1:{port}']}}
"""

MIDDLEWARE = """
blocklist:
  entries: [{path: /v1/own/*}, {path: /api/v1/clients/*}, {path: '*/evil%3aname'}, {path: '*//twice'}]
headers: {all: {request: {set: {X-Path: '{path}', X-Original: '{original_path}'}}}}
"""


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with running_backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("paths"), ROUTES.format(port=backend.port), MIDDLEWARE) as process:
        yield process
        assert "Traceback" not in process.log


async def ask(gateway: GatewayProcess, target: str, method: str = "GET") -> Answer:
    async with connected(gateway.port) as client:
        await client.send(f"{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        return await client.answer(method)


async def sent(gateway: GatewayProcess, target: str) -> str:
    answer = await ask(gateway, target)
    assert answer.status == 200, answer
    return answer.body.decode().split(" ")[1]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v1/a//b", "/v1/a//b"),
        ("/v1//a///", "/v1//a///"),
        ("/api/v1/a//b", "/v1/a//b"),
        ("//api//v1//x", "//v1//x"),
        ("/v1/a%3Ab/%7e%c3%a9", "/v1/a%3Ab/%7e%c3%a9"),
        ("/v1/a%3bx/%2541", "/v1/a%3bx/%2541"),
        ("/v1/./x/../a//b", "/v1/a//b"),
        ("/%76%31/a//b", "/%76%31/a//b"),
        ("/s/files//a", "/files//a"),
        ("//s//files/a//", "//files/a//"),
        ("/api/s/%66iles//a", "/%66iles//a"),
        ("/r/b%3a/a//b/", "/store/b%3a/a//b/"),
        ("/r/b//a", "/store/b//a"),
        ("/r//b", "/store/b"),
        ("/r/b//", "/store/b//"),
        ("/api//r/b/%3B//x", "/store/b/%3B//x"),
        ("/store/b//a%3a", "/store/b//a%3a"),
        ("/api/store/b//a%3a", "/store/b//a%3a"),
        ("/q/a", "/x%3By/a.json"),
        ("/q/%3b", "/x%3By/%3b.json"),
        ("/merged//a//b%3A", "/merged/a/b%3A"),
        ("/npm/@scope%2fname", "/npm/@scope%2fname"),
        ("/v1/a?", "/v1/a?"),
        ("/v1/a", "/v1/a"),
        ("/api/v1/a?", "/v1/a?"),
        ("/r/b/a?", "/store/b/a?"),
        ("/v1/a??", "/v1/a??"),
        ("/v1/a?x=//%3a&&y", "/v1/a?x=//%3a&&y"),
        ("http://h/v1/a?", "/v1/a?"),
    ],
)
async def test_what_is_sent_is_what_came(gateway: GatewayProcess, target: str, expected: str) -> None:
    """Slashes, escapes and the question mark reach the backend as the client wrote them, rewritten or not."""
    assert await sent(gateway, target) == expected


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v1/users:delete", 403),
        ("/v1/users%3Adelete", 403),
        ("/v1/users%3adelete", 403),
        ("/api//v1/users%3adelete", 403),
        ("/v1/users%253Adelete", 200),
        ("/g/private/x", 403),
        ("/api/g/private/x", 403),
        ("/api//g//private/x", 403),
        ("/%61pi/g/%70rivate/x", 403),
        ("/api/g/public", 200),
        ("/r/secret/x", 403),
        ("/api/r/secret/x", 403),
        ("/store/secret/x", 403),
        ("/api/store/secret/x", 403),
        ("/api/store//secret/x", 403),
        ("/store/other/x", 200),
        ("/dropped/x", 404),
        ("/d/t/x", 200),
        ("/v1/own/x", 403),
        ("/api/v1/own/x", 403),
        ("/v1//own/x", 403),
        ("/api/v1/clients/x", 403),
        ("/api/v1//clients/x", 403),
        ("/v1/clients/x", 200),
        ("/v1/evil:name", 403),
        ("/v1/evil%3Aname", 403),
        ("/v1/x//twice", 403),
        ("/v1/x/twice", 200),
    ],
)
async def test_a_rule_about_a_path_meets_every_way_to_write_it(
    gateway: GatewayProcess, target: str, status: int
) -> None:
    """With the base path, without it, rewritten, with other escapes or more slashes: it is one path to every rule."""
    assert (await ask(gateway, target)).status == status


async def test_rules_and_logs_have_both_paths(gateway: GatewayProcess, backend: Backend) -> None:
    """The route's own form is `path`; what the client sent is `original_path`."""
    target = "/api/store//two%3a/x"
    await sent(gateway, target)
    (seen,) = [seen for seen in backend.seen if seen.line.split(" ")[1] == "/store//two%3a/x"]
    fields = dict(seen.headers)
    assert (fields[b"x-path"], fields[b"x-original"]) == (b"/r/two:/x", target.encode())
    until(lambda: target in gateway.access_log)
    (line,) = [line for line in map(json.loads, gateway.access_log.splitlines()) if line["original_path"] == target]
    assert (line["path"], line["route"]) == ("/r/two:/x", "rewritten")


async def test_an_encoded_slash_is_refused_with_the_remedy(gateway: GatewayProcess) -> None:
    """The client learns what it must not send, and the log which key lets it through."""
    answer = await ask(gateway, "/v1/@scope%2fname")
    assert answer.status == 400
    detail = orjson.loads(answer.body)["detail"]
    assert "%2F, %5C" in detail
    assert "allow_encoded_slashes" in detail
    until(lambda: "allow_encoded_slashes" in gateway.access_log)


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/up//evil.example", "/evil.example"),
        ("/up////evil.example//x", "/evil.example//x"),
        ("//up//evil.example", "/evil.example"),
        ("/api/up//evil.example", "/api//evil.example"),
        ("//api/up/a%3Ab?", "/api/a%3Ab?"),
        ("/away//b//c%3a?", "https://a.example/x//b//c%3a?"),
        ("/out//b.example//c", "https://a.example//b.example//c"),
        ("/out///", "https://a.example///"),
        ("/out", "https://a.example/"),
    ],
)
async def test_a_redirect_keeps_the_spelling_but_never_names_a_host(
    gateway: GatewayProcess, target: str, location: str
) -> None:
    """What the client wrote is kept, but two slashes at the beginning would be a host to a browser."""
    answer = await ask(gateway, target)
    assert (answer.status, answer.headers[b"location"].decode()) == (307, location)


@pytest.mark.parametrize(
    ("target", "status"), [("http://h", 204), ("*", 204), ("http://h/", 404), ("http://h?x", 404), ("http://h?", 404)]
)
async def test_options_without_a_path_asks_the_host_itself(gateway: GatewayProcess, target: str, status: int) -> None:
    """RFC 9112, 3.2.4: only an absolute form with neither path nor query is `OPTIONS *`."""
    assert (await ask(gateway, target, "OPTIONS")).status == status
