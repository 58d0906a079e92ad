"""Policies that take a request body from the backend: by reading it, or by handing the request on twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.lifecycle.support import admin_url
from tests.support import GatewayProcess, eventually, exchange, running_gateway, scripted_backend
from tests.upstream.wire import read_message

POLICY = """
import copy
from gateway.errors import ErrorKind, GatewayError
from gateway.http import WholeBody, WrappedBody

def added_to(body, data):
    pieces = [b"", data]
    async def read():
        return await body.read() or pieces.pop()
    return WrappedBody(body, read)

async def read_whole(exchange):
    data = b""
    while piece := await exchange.body.read():
        data += piece
    return data

class P:
    def wrap(self, handler):
        async def answered(exchange):
            do = exchange.query.decode()
            if do == "twice":
                await handler(exchange)
            elif do == "copies":
                await handler(copy.copy(exchange))
                return await handler(copy.copy(exchange))
            elif do == "read":
                await exchange.body.read()
            elif do == "read-all":
                await read_whole(exchange)
            elif do == "close":
                exchange.body.close()
            elif do == "peek":
                body, pieces = exchange.body, [await exchange.body.read()]
                async def again():
                    return pieces.pop() if pieces else await body.read()
                exchange.body = WrappedBody(body, again)
            elif do.startswith("refuse"):
                if "read" in do:
                    await exchange.body.read()
                if "all" in do:
                    await read_whole(exchange)
                if "close" in do:
                    exchange.body.close()
                raise GatewayError(ErrorKind.FORBIDDEN, do)
            elif do == "longer":
                exchange.body = added_to(exchange.body, b"GET /smuggled")
            elif do == "shorter":
                await exchange.body.read()
                exchange.body = added_to(exchange.body, b"a")
            elif do == "whole-longer":
                exchange.body = WholeBody(await read_whole(exchange) + b"fg", [])
            elif do == "whole-shorter":
                exchange.body = WholeBody((await read_whole(exchange))[1:], [])
            elif do == "whole-empty":
                exchange.body = WholeBody(b"", [])
            elif do == "whole-trailers":
                exchange.body = WholeBody(await read_whole(exchange) + b"fg", [(b"x-sum", b"1")])
            elif do == "whole-twice":
                data = await read_whole(exchange)
                exchange.body = WholeBody(data, [])
                await handler(exchange)
                exchange.body = WholeBody(data, [])
            elif do == "answer-refuse":
                response = await handler(exchange)
                while await response.body.read():
                    pass
                raise GatewayError(ErrorKind.FORBIDDEN, do)
            return await handler(exchange)
        return answered
"""


@asynccontextmanager
async def served(
    directory: Path, mode: str = "enforce", *, policy: str = POLICY, answer: bytes = b"ok"
) -> AsyncIterator[tuple[GatewayProcess, list[bytes]]]:
    """A gateway with the policy, and the bodies of the requests that its backend has had whole."""
    bodies: list[bytes] = []

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            bodies.append((await read_message(reader)).body)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)

    (directory / "config").mkdir()
    (directory / "config" / "p.py").write_text(policy)
    async with scripted_backend(backend) as port:
        routes = f"- {{path: /*, target: '127.0.0.1:{port}'}}\n- {{path: /here, respond: 204}}\n"
        policies = f"policies: {{mine: {{class: 'p.py:P', mode: {mode}}}}}"
        with running_gateway(directory, routes, policies) as gateway:
            yield gateway, bodies


FRAMINGS = {
    "announced": ("Content-Length: 5", "abcde"),
    "chunked": ("Transfer-Encoding: chunked", "5\r\nabcde\r\n0\r\n\r\n"),
    "empty": ("Transfer-Encoding: chunked", "0\r\n\r\n"),
}


async def _ask(gateway: GatewayProcess, method: str, do: str, framing: str, path: str = "/") -> bytes:
    length, body = FRAMINGS[framing]
    request = f"{method} {path}?{do} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{length}\r\n\r\n{body}"
    async with asyncio.timeout(20):
        return await exchange(gateway.port, request.encode())


async def _failures(gateway: GatewayProcess) -> float:
    async with httpx2.AsyncClient() as client:
        text = (await client.get(admin_url(gateway, "/metrics"))).text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("gateway_endpoint_failures_total")
    )


@pytest.mark.parametrize(
    ("method", "do", "framing", "whole"),
    [
        ("POST", "twice", "announced", [b"abcde"]),
        ("PUT", "twice", "announced", [b"abcde"]),
        ("POST", "twice", "chunked", [b"abcde"]),
        ("POST", "copies", "announced", [b"abcde"]),
        ("POST", "read", "announced", []),
        ("POST", "read", "chunked", []),
        ("POST", "read-all", "announced", []),
        ("POST", "read-all", "chunked", []),
        ("POST", "close", "announced", []),
        ("POST", "close", "chunked", []),
        ("POST", "longer", "announced", []),
        ("POST", "shorter", "announced", []),
    ],
)
async def test_a_body_that_is_not_what_was_announced_fails_at_once(
    tmp_path: Path, method: str, do: str, framing: str, whole: list[bytes]
) -> None:
    """The backend never takes a part for a request, the log says what the policy has to do, and no endpoint is blamed
    for it."""
    async with served(tmp_path) as (gateway, bodies):
        answer = await _ask(gateway, method, do, framing)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"internal-error" in answer
        assert bodies == whole
        await eventually(lambda: "set exchange.body = WholeBody" in gateway.log)
        assert await _failures(gateway) == 0


@pytest.mark.parametrize("framing", ["announced", "chunked"])
@pytest.mark.parametrize(
    ("do", "whole"),
    [
        ("whole-longer", b"abcdefg"),
        ("whole-shorter", b"bcde"),
        ("whole-empty", b""),
        ("whole-trailers", b"abcdefg"),
    ],
)
async def test_a_body_of_another_length_goes_out_as_it_is(tmp_path: Path, framing: str, do: str, whole: bytes) -> None:
    """A policy may put a longer or a shorter body in the client's place, and the backend is told how long it is."""
    async with served(tmp_path) as (gateway, bodies):
        for _ in range(2):  # the second on the same connection to the backend
            assert (await _ask(gateway, "POST", do, framing)).startswith(b"HTTP/1.1 200 ")
        assert bodies == [whole, whole]


@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_a_body_that_is_put_back_is_sent_each_time(tmp_path: Path, framing: str) -> None:
    """A policy that has read it whole can hand the request on as often as it likes."""
    async with served(tmp_path) as (gateway, bodies):
        assert (await _ask(gateway, "POST", "whole-twice", framing)).startswith(b"HTTP/1.1 200 ")
        assert bodies == [b"abcde", b"abcde"]
        assert "WholeBody" not in gateway.log


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_a_body_that_nothing_is_missing_of_is_sent(tmp_path: Path, mode: str) -> None:
    """Where what was read stands in front of the rest again, or there was nothing to read. Where no backend gets it,
    nobody misses it."""
    async with served(tmp_path, mode) as (gateway, bodies):
        for framing in ("announced", "chunked"):
            assert (await _ask(gateway, "POST", "peek", framing)).startswith(b"HTTP/1.1 200 ")
            assert (await _ask(gateway, "POST", "read-all", framing, "/here")).startswith(b"HTTP/1.1 204 ")
        assert (await _ask(gateway, "POST", "read-all", "empty")).startswith(b"HTTP/1.1 200 ")
        assert bodies == [b"abcde", b"abcde", b""]
        assert "WholeBody" not in gateway.log


@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_shadow_mode_sends_what_a_policy_has_read_before_it_refused(tmp_path: Path, framing: str) -> None:
    """As a policy does that compares a signature of the body: the backend gets all of it."""
    async with served(tmp_path, "shadow") as (gateway, bodies):
        for do in ("refuse", "refuse-read", "refuse-close", "refuse-read-close"):
            assert (await _ask(gateway, "POST", do, framing)).startswith(b"HTTP/1.1 200 ")
        assert bodies == [b"abcde"] * 4


@pytest.mark.parametrize(("size", "status"), [(16 * 1024 * 1024, 200), (16 * 1024 * 1024 + 1, 500)])
async def test_shadow_mode_keeps_so_much_of_a_body(tmp_path: Path, size: int, status: int) -> None:
    """What a policy reads and does not hold itself takes no memory without bound: such a request fails."""
    async with served(tmp_path, "shadow") as (gateway, bodies):
        head = f"POST /?refuse-all HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
        async with asyncio.timeout(60):
            answer = await exchange(gateway.port, head.encode() + b"a" * size)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert list(map(len, bodies)) == ([size] if status == 200 else [])
        await eventually(lambda: status == 200 or "more than 16 MiB of a body" in gateway.log)


@pytest.mark.parametrize(("size", "status"), [(16 * 1024 * 1024, 200), (16 * 1024 * 1024 + 1, 500)])
async def test_shadow_mode_keeps_so_much_of_a_response(tmp_path: Path, size: int, status: int) -> None:
    """Where a policy refuses after it has read more, nothing is left to send, and the client is told so."""
    async with served(tmp_path, "shadow", answer=b"a" * size) as (gateway, _), asyncio.timeout(60):
        head, _, body = (await _ask(gateway, "GET", "answer-refuse", "empty")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert len(body) == size or status != 200
        await eventually(lambda: status == 200 or "more than 16 MiB of a body" in gateway.log)


BOUNDED = (
    f"import logging\nfrom gateway.middleware import lent\nlent.MOST_KEPT_TOGETHER = 1024 * 1024\n{POLICY}".replace(
        "data += piece", "data += piece; logging.getLogger('gateway.policy').error('%d were read', len(data))"
    )
)


async def test_shadow_mode_keeps_so_much_of_all_bodies_together(tmp_path: Path) -> None:
    """A request that a policy refuses after it has read more fails, and the log says why; once others are over, one
    passes. Those that it does not refuse pass all the time."""
    size = 600 * 1024
    head = b"POST /?%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    refused = head % (b"refuse-all", size) + b"a" * size
    async with served(tmp_path, "shadow", policy=BOUNDED) as (gateway, bodies), asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(refused[:-1])
        await eventually(lambda: f"{size - 1} were read" in gateway.log)
        assert (await exchange(gateway.port, refused)).startswith(b"HTTP/1.1 500 ")
        await eventually(lambda: "1 MiB are kept for such policies already" in gateway.log)
        assert (await exchange(gateway.port, head % (b"", size) + b"a" * size)).startswith(b"HTTP/1.1 200 ")
        writer.write(refused[-1:])
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        for _ in range(3):
            assert (await exchange(gateway.port, refused)).startswith(b"HTTP/1.1 200 ")
        assert set(map(len, bodies)) == {size}
