"""Methods: the registered ones, those that a route names, and those that are never forwarded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.check import check
from gateway.http.methods import REGISTERED
from tests.server.backend import Backend
from tests.server.client import connected
from tests.support import GatewayProcess, running_gateway

ROUTES = """
base_path: /
routes:
- {{path: /any/*, target: '127.0.0.1:{port}'}}
- {{path: /named/*, methods: [LIST, Describe, SOURCE, PURGE, GET], target: '127.0.0.1:{port}'}}
"""


@pytest.fixture(scope="module")
def gateway(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("methods"), ROUTES.format(port=backend.port)) as process:
        yield process
        assert "Traceback" not in process.log


def request(method: str, path: str, *lines: bytes, body: bytes = b"") -> bytes:
    head = [f"{method} {path} HTTP/1.1".encode(), b"Host: a", *lines, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*head, b"", body])


@pytest.mark.parametrize("method", sorted(REGISTERED - {"HEAD"}))
async def test_registered_methods_reach_every_route(gateway: GatewayProcess, method: str) -> None:
    """Whatever the parser knows of a method, it goes to the backend as it came, with its body, on a kept connection."""
    async with connected(gateway.port) as client:
        await client.send(request(method, "/any/a", body=b"abc") + request(method, "/any/b"))
        assert (await client.answer()).body == f"{method} /any/a abc".encode()
        assert (await client.answer()).body == f"{method} /any/b ".encode()


@pytest.mark.parametrize("method", ["LIST", "DESCRIBE", "SOURCE", "PURGE"])
@pytest.mark.parametrize("piece", [0, 1, 7])
async def test_a_method_that_a_route_names_reaches_it(gateway: GatewayProcess, method: str, piece: int) -> None:
    """Also one that is not registered, or belongs to another protocol, in whatever pieces it comes."""
    head = f"{method} /named/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunked = head + b"3\r\nabc\r\n0\r\n\r\n"
    upgrade = request(method, "/named/u", b"Connection: upgrade", b"Upgrade: h2c", body=b"x")
    async with connected(gateway.port) as client:
        await client.send(request(method, "/named/a", body=b"ab") + chunked + b"\r\n" + upgrade, piece=piece)
        bodies = [(await client.answer()).body for _ in range(3)]
    assert bodies == [f"{method} /named/{rest}".encode() for rest in ("a ab", "c abc", "u x")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("LIST", "/any/x", 501),
        ("PURGE", "/none", 501),
        ("FROBNICATE", "/named/x", 405),
        ("UPDATE", "/named/x", 405),
        ("UPDATE", "/none", 404),
        ("list", "/named/x", 501),
        ("get", "/any/x", 501),
        ("Get", "/any/x", 501),
        ("TRACE", "/any/x", 501),
        ("CONNECT", "/any/x", 501),
        ("PRI", "/any/x", 501),
        ("*", "/any/x", 501),
    ],
)
async def test_other_methods_are_refused(gateway: GatewayProcess, method: str, path: str, status: int) -> None:
    """A method that is neither registered nor configured is a 501, and a 405 where the path takes others."""
    async with connected(gateway.port) as client:
        await client.send(request(method, path))
        answer = await client.answer()
    assert answer.status == status
    assert answer.headers.get(b"allow") == (b"DESCRIBE, GET, HEAD, LIST, PURGE, SOURCE" if status == 405 else None)


@pytest.mark.parametrize("method", ["CONNECT", "trace", "PRI", "A" * 33])
def test_methods_that_could_never_come_are_refused_in_a_file(tmp_path: Path, method: str) -> None:
    """A route cannot promise what the gateway does not do."""
    (tmp_path / "routes.yaml").write_text(f"- {{path: /x, methods: [GET, '{method}'], target: 'b:80'}}\n")
    (problem,) = check(tmp_path, {"b": "127.0.0.1"})
    assert problem.severity == "error"
    assert problem.line == 1
