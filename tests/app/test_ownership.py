"""What a request holds is let go when it ends, however it ends: connections, counts, tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import InvalidStatus

from gateway.http import Exchange
from tests.support import GatewayProcess, eventually, read_head, scripted_backend

POLICY = '''
import asyncio
import copy
import sys
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Response


class Broken:
    """A body that fails, and cannot be closed."""

    trailers: list = []
    ready = False

    async def read(self) -> bytes:
        raise SystemExit(3)

    def close(self) -> None:
        raise SystemExit(4)


CHANGES = {
    "extra_line_break": lambda exchange: setattr(exchange, "extra_headers", ((b"a", b"b\\r\\nx-injected: 1"),)),
    "extra_name": lambda exchange: setattr(exchange, "extra_headers", ((b"a: b\\r\\nx-injected", b"1"),)),
    "extra_length": lambda exchange: setattr(exchange, "extra_headers", ((b"Content_Length", b"5"),)),
    "extra_coding": lambda exchange: setattr(exchange, "extra_headers", ((b"transfer-encoding", b"chunked"),)),
    "extra_host": lambda exchange: setattr(exchange, "extra_headers", ((b"host", b"b"),)),
    "extra_none": lambda exchange: setattr(exchange, "extra_headers", None),
    "query": lambda exchange: setattr(exchange, "query", b"a b\\r\\nx-injected: 1"),
    "target": lambda exchange: setattr(exchange, "target_path", "/a HTTP/1.1\\r\\nx-injected: 1"),
    "method": lambda exchange: setattr(exchange, "method", "GE T"),
    "scheme": lambda exchange: setattr(exchange, "scheme", "a\\r\\nx-injected: 1"),
    "deadline_none": lambda exchange: setattr(exchange, "deadline", None),
    "deadline_nan": lambda exchange: setattr(exchange, "deadline", float("nan")),
    "attempts": lambda exchange: setattr(exchange, "attempts", "x"),
    "counted": lambda exchange: setattr(exchange, "counted", (("a", "b", "c"),)),
    "request_id": lambda exchange: setattr(exchange, "request_id", None),
}
SPOILS = {
    "status_text": lambda response: setattr(response, "status", "200"),
    "status_99": lambda response: setattr(response, "status", 99),
    "status_1000": lambda response: setattr(response, "status", 1000),
    "status_103": lambda response: setattr(response, "status", 103),
    "status_101": lambda response: setattr(response, "status", 101),
    "no_headers": lambda response: setattr(response, "headers", None),
    "iterator": lambda response: setattr(response, "headers", iter([(b"a", b"b")])),
    "three": lambda response: response.headers.append((b"a", b"b", b"c")),
    "no_name": lambda response: response.headers.append((b"", b"b")),
    "space": lambda response: response.headers.append((b"a b", b"c")),
    "colon": lambda response: response.headers.append((b"a:b", b"c")),
    "nul": lambda response: response.headers.append((b"a", b"b\\0")),
    "two_lengths": lambda response: response.headers.extend([(b"content-length", b"1"), (b"Content-Length", b"2")]),
    "long_length": lambda response: response.headers.append((b"content-length", b"9" * 5000)),
    "wrong_length": lambda response: (response.headers.append((b"Content-Length", b"9")),
                                      setattr(response, "body", b"four")),
    "array": lambda response: setattr(response, "body", bytearray(b"a")),
    "no_close": lambda response: setattr(response, "body", type("Body", (), {"read": None, "ready": True})()),
}
REFUSALS = {
    "kind": lambda: GatewayError("x", "no"),
    "detail": lambda: GatewayError(ErrorKind.FORBIDDEN, b"x"),
    "surrogate": lambda: GatewayError(ErrorKind.FORBIDDEN, chr(0xD800)),
    "no_lines": lambda: GatewayError(ErrorKind.FORBIDDEN, "x", headers=None),
    "broken_line": lambda: GatewayError(ErrorKind.FORBIDDEN, "x", headers=((b"a", b"b\\r\\nc: d"),)),
    "text_line": lambda: GatewayError(ErrorKind.FORBIDDEN, "x", headers=(("a", "b"),)),
    "second_length": lambda: GatewayError(ErrorKind.FORBIDDEN, "x", headers=((b"content-length", b"3"),)),
}


class Policy:
    def wrap(self, handler: Handler) -> Handler:
        async def asked(exchange: Exchange) -> Response:
            case = exchange.fields.get(b"case", b"").decode()
            if case == "other_task":  # given up while it waits for the backend
                waiting = asyncio.create_task(handler(exchange))
                await asyncio.wait({waiting}, timeout=0.1)
                raise GatewayError(ErrorKind.FORBIDDEN, "gave up")
            if case == "own_exchange":
                made = Exchange("r", exchange.method, exchange.path, b"", exchange.headers, exchange.fields, "http",
                                exchange.host, exchange.peer, False, exchange.client)
                made.target_path = exchange.target_path
                exchange = made
            if case == "no_bytes":
                exchange.extra_headers += (("x-mine", "text"),)
            if case == "copies":
                exchange = copy.copy(exchange)
            if case == "at_once":
                await asyncio.gather(handler(copy.copy(exchange)), handler(copy.copy(exchange)))
                raise GatewayError(ErrorKind.FORBIDDEN, "no")
            if case in CHANGES:
                CHANGES[case](exchange)
            spoilt = exchange.fields.get(b"spoilt", b"").decode()
            value = None if exchange.fields.get(b"by") == b"none" else 5
            if case == "spoils_before":
                setattr(exchange, spoilt, value)
            response = await handler(exchange)
            if case == "spoils_after":
                setattr(exchange, spoilt, value)
            if case in SPOILS:
                SPOILS[case](response)
                return response
            if case in REFUSALS:
                raise REFUSALS[case]()
            if case == "stops":
                asyncio.get_running_loop().stop()
                await asyncio.sleep(0.05)
                raise ValueError("stopped")
            if case == "read_at_once":
                await asyncio.gather(response.body.read(), response.body.read(), response.body.read())
            if case == "twice":
                response = await handler(exchange)
            if case == "replaces":
                return Response(200, [], b"mine")
            if case == "broken_body":
                response.body = Broken()
                return response
            if case == "header":
                response.headers.append((b"x-mine", b"a\\r\\nb: c"))
                return response
            if case == "length":
                response.headers = [(b"content-length", b"x")]
                return response
            if case == "text":
                response.headers.append(("x-mine", "text"))
                return response
            if case == "none":
                return None
            if case == "exits":
                sys.exit(1)
            if case == "interrupts":
                raise KeyboardInterrupt
            if case == "generator":
                raise GeneratorExit
            if case == "cancelled":
                raise asyncio.CancelledError
            if case == "task_exits":
                async def ending() -> None:
                    sys.exit(1)
                await asyncio.create_task(ending())
            if case == "closing":
                def fails() -> None:
                    raise SystemExit(5)
                exchange.defer(fails)
            if case in ("refuses", "own_exchange", "copies", "twice", "closing"):
                raise GatewayError(ErrorKind.FORBIDDEN, "no")
            if case == "reads_on":
                response.body.close()
                await response.body.read()
            return response
        return asked
'''


async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with a body that never ends, except where it is asked not to answer at all."""
    head = await read_head(reader)
    if b"case: other_task" in head.lower():
        await reader.read()
        return
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    await reader.read()


@dataclass
class Served:
    """A gateway with the policy in front of one endpoint, which may have two connections."""

    gateway: GatewayProcess

    async def status(self, case: str) -> int:
        url = self.gateway.url + "/x"
        async with httpx2.AsyncClient() as client, client.stream("GET", url, headers={"case": case}) as response:
            return response.status_code

    async def at_rest(self) -> None:
        """Wait until the endpoint has nothing in flight, and no connection that is not idle."""
        async with httpx2.AsyncClient() as client, asyncio.timeout(30):
            while True:
                answer = await client.get(f"http://127.0.0.1:{self.gateway.admin_port}/endpoints")
                (endpoint,) = answer.json()
                if endpoint["in_flight"] == 0 and endpoint["connections"]["open"] == endpoint["connections"]["idle"]:
                    return
                await asyncio.sleep(0.02)


@contextlib.contextmanager
def served(directory: Path, port: int) -> Iterator[Served]:
    config = directory / "config"
    routes = f"""
    services:
      backend: {{endpoints: ['127.0.0.1:{port}'], connections: {{max: 2, pending: 0}}}}
    routes:
    - {{path: /*, target: backend, timeout: {{connect: 2s}}}}
    """
    middleware = "policies: {mine: {class: 'p.py:Policy'}}"
    config.mkdir()
    (config / "p.py").write_text(POLICY)
    gateway = GatewayProcess(config)
    gateway.write(routes, middleware)
    try:
        gateway.start()
        yield Served(gateway)
    finally:
        gateway.stop()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Served]:
    async with scripted_backend(stream) as port:
        with served(tmp_path, port) as site:
            yield site


REFUSED = ("refuses", "own_exchange", "copies", "other_task", "closing")
FAILED = ("exits", "interrupts", "generator", "cancelled", "task_exits", "header", "length", "text", "none", "no_bytes")


async def test_a_policy_that_has_seen_the_response_keeps_nothing(site: Served) -> None:
    """Refusing, failing, replacing, copying, asking twice: the third request finds both connections free again."""
    expected = (
        dict.fromkeys(REFUSED, 403) | dict.fromkeys(FAILED, 500) | {"replaces": 200, "at_once": 403, "reads_on": 502}
    )
    for case, status in expected.items():
        for _ in range(3 if case != "at_once" else 1):
            assert (case, await site.status(case)) == (case, status)
            await site.at_rest()
    assert await site.status("twice") == 403
    await site.at_rest()
    with pytest.raises(httpx2.TransportError):
        async with httpx2.AsyncClient() as client:
            await client.get(site.gateway.url + "/x", headers={"case": "broken_body"})
    await site.at_rest()
    assert await site.status("") == 200


SPOILT = (
    "extra_line_break",
    "extra_name",
    "extra_length",
    "extra_coding",
    "extra_host",
    "extra_none",
    "query",
    "target",
    "method",
    "scheme",
    "deadline_none",
    "deadline_nan",
    "attempts",
    "counted",
    "request_id",
    "status_text",
    "status_99",
    "status_1000",
    "status_103",
    "status_101",
    "no_headers",
    "iterator",
    "three",
    "no_name",
    "space",
    "colon",
    "nul",
    "two_lengths",
    "long_length",
    "wrong_length",
    "array",
    "no_close",
    "kind",
    "detail",
    "surrogate",
    "no_lines",
    "broken_line",
    "text_line",
    "second_length",
    "stops",
    "read_at_once",
)


async def test_what_cannot_be_sent_is_the_failure_of_a_policy(site: Served) -> None:
    """A response, a refusal or a request for the backend that a policy has spoilt is a 500, and nothing is kept."""
    async with httpx2.AsyncClient(base_url=site.gateway.url) as client:
        for case in SPOILT:
            assert (case, (await client.get("/x", headers={"case": case})).status_code) == (case, 500)
            await site.at_rest()
    assert "Exception in callback" not in site.gateway.log


async def test_an_exchange_that_a_policy_has_spoilt_is_let_go_and_reported(site: Served) -> None:
    """Whatever attribute it overwrites, and whenever: the connection is free again, and the access log has its line."""
    url, asked = site.gateway.url + "/x", 0
    async with httpx2.AsyncClient() as client:
        for attribute in Exchange.__slots__:
            for case in ("spoils_before", "spoils_after"):
                for value in ("none", "number"):
                    headers = {"case": case, "spoilt": attribute, "by": value}
                    async with client.stream("GET", url, headers=headers) as response:
                        # 503: both connections of those before are still being closed.
                        assert (attribute, response.status_code in (200, 500, 503)) == (attribute, True)
                    asked += 1
    await site.at_rest()
    await eventually(lambda: site.gateway.access_log.count("\n") == asked)
    assert "the application failed" not in site.gateway.log


async def test_what_a_policy_raises_is_in_the_log_with_its_place(site: Served) -> None:
    """SystemExit and its like end one request, and the log says which line of which file raised it."""
    assert [await site.status(case) for case in ("exits", "cancelled", "interrupts")] == [500] * 3
    lines = POLICY.splitlines()
    for text in ("sys.exit(1)", "raise asyncio.CancelledError", "raise KeyboardInterrupt"):
        place = f"p.py:{next(number for number, line in enumerate(lines, 1) if text in line)}"
        await eventually(lambda place=place: place in site.gateway.log)  # type: ignore[misc]


async def test_a_client_that_goes_away_leaves_nothing(site: Served) -> None:
    """Between the answer and its end, or while the policy waits for it."""
    for case in ("", "twice", "other_task"):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.gateway.port)
        writer.write(f"GET /x HTTP/1.1\r\nHost: x\r\ncase: {case}\r\n\r\n".encode())
        if not case:
            await read_head(reader)
        else:
            await asyncio.sleep(0.05)
        writer.close()
        await site.at_rest()


async def test_a_websocket_that_a_policy_refuses_is_let_go(tmp_path: Path) -> None:
    """The backend has accepted it already: its connection ends, and it is no longer in flight."""
    ended = asyncio.Event()

    async def echo(connection: ServerConnection) -> None:
        await connection.wait_closed()
        ended.set()

    async with serve_websockets(echo, "127.0.0.1", 0) as server:
        port: int = next(iter(server.sockets)).getsockname()[1]
        with served(tmp_path, port) as site:
            for case, status in (("refuses", 403), ("exits", 500), ("copies", 403), ("replaces", 200)):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(
                        f"ws://127.0.0.1:{site.gateway.port}/x", proxy=None, additional_headers={"case": case}
                    )
                assert (case, refused.value.response.status_code) == (case, status)
                await asyncio.wait_for(ended.wait(), 30)
                ended.clear()
                await site.at_rest()
