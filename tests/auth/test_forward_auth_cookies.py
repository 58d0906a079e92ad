"""Cookies of a session that the service of forward_auth renews, through a gateway process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.check import check
from tests.support import running_gateway, scripted_backend
from tests.upstream.wire import Wire, connected, read_message

RENEWED = b"HTTP/1.1 200 OK\r\nSet-Cookie: s=2\r\nSet-Cookie: t=3\r\nX-Private: 1\r\nContent-Length: 0\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nSet-Cookie: own=1\r\nContent-Length: 2\r\n\r\nok"
AUTH = """
trusted_proxies: [127.0.0.0/8]
default: ask
schemes:
  ask: {{forward_auth: {{url: 'http://127.0.0.1:{port}/', {settings}}}}}
"""


async def asked(tmp_path: Path, settings: str, *lines: str, route: str = "") -> tuple[Wire, list[Wire], list[Wire]]:
    """What the client gets of a GET, what reached the backend, and what the service was asked."""
    reached: list[Wire] = []
    questions: list[Wire] = []

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            reached.append(await read_message(reader))
            writer.write(ANSWER)

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            questions.append(await read_message(reader))
            writer.write(RENEWED)

    async with scripted_backend(backend) as port, scripted_backend(service) as asked_port:
        routes = f"routes: [{{path: '/*', target: '127.0.0.1:{port}'{route}}}]"
        auth = AUTH.format(port=asked_port, settings=settings)
        with running_gateway(tmp_path, routes, auth=auth) as gateway:
            async with connected(gateway.port) as (reader, writer):
                writer.write("\r\n".join(["GET /x HTTP/1.1", "Host: inner.test", *lines, "", ""]).encode())
                return await read_message(reader), reached, questions


async def test_the_client_gets_the_cookies_of_a_renewed_session(tmp_path: Path) -> None:
    """Each of them, beside those of the backend, and nothing else of the answer; the backend gets none."""
    answer, reached, _ = await asked(tmp_path, "client_response_headers: [Set-Cookie]")
    assert answer.all("set-cookie") == ["own=1", "s=2", "t=3"]
    assert "x-private" not in answer.fields
    assert "set-cookie" not in reached[0].fields


async def test_also_where_a_later_policy_refuses(tmp_path: Path) -> None:
    """The session was renewed, whatever becomes of the request."""
    route = ", authorize: [{groups: [gold]}]"
    answer, reached, _ = await asked(tmp_path, "client_response_headers: [Set-Cookie]", route=route)
    assert (answer.status, answer.all("set-cookie"), reached) == (403, ["s=2", "t=3"], [])


async def test_a_backend_gets_no_cookies_of_an_answer(tmp_path: Path) -> None:
    """Set-Cookie among the headers for the backend is dropped, and `check` says what to write instead."""
    answer, reached, _ = await asked(tmp_path, "response_headers: [Set-Cookie, X-Private]")
    assert answer.all("set-cookie") == ["own=1"]
    assert (reached[0].fields["x-private"], "set-cookie" in reached[0].fields) == ("1", False)
    (warning,) = [problem for problem in check(tmp_path / "config", {}) if problem.file == "auth.yaml"]
    assert (warning.line, warning.severity) == (5, "warning")
    assert "name it in client_response_headers" in warning.message


async def test_the_service_gets_the_outer_host(tmp_path: Path) -> None:
    """The host that the client asked for, where a trusted proxy says another than it asked by."""
    _, reached, questions = await asked(tmp_path, "", "X-Forwarded-Host: shop.test", "X-Forwarded-Proto: https")
    assert questions[0].fields["x-forwarded-host"] == reached[0].fields["x-forwarded-host"] == "shop.test"
    assert questions[0].fields["x-forwarded-proto"] == "https"
