"""Clients of the ports beside the gateway take no memory without end, and hold no descriptors for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp

from gateway.reading import clocked
from gateway.server import side_connections
from gateway.server.side_connections import HEAD_LIMIT, MOST_WAITING
from gateway.server.side_servers import SideServers
from tests.support import exchange, lateness, read_head, read_slowly

GET = b"GET / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n"
MOST_SENT = 64 * 1024 * 1024  # bytes: far more than sockets keep by themselves
PIECE = 64 * 1024


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers GET at once, and a POST when it has read all of its body."""
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served(app: ASGIApp = application) -> AsyncIterator[int]:
    """The port of a side server."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    servers = SideServers([(app, [listener])])
    servers.start()
    try:
        yield listener.getsockname()[1]
    finally:
        await servers.stop()
        listener.close()


async def taken(port: int, begin: bytes, piece: bytes) -> int:
    """How many bytes were taken of a request that goes on for ever, until the connection was ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < MOST_SENT and not reader.at_eof():
            writer.write(piece)
            sent += len(piece)
            async with asyncio.timeout(30):
                await writer.drain()
            await asyncio.sleep(0)
    writer.close()
    return sent


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        pytest.param(GET, b"X: a\r\n" * 10_000, id="lines"),
        pytest.param(GET + b"X: ", b"a" * PIECE, id="a value"),
        pytest.param(GET, b"a" * PIECE, id="a name"),
        pytest.param(b"GET /", b"a" * PIECE, id="a target"),
        pytest.param(CHUNKED + b"0\r\n", b"X: a\r\n" * 10_000, id="trailers"),
        pytest.param(CHUNKED + b"0\r\nX: ", b"a" * PIECE, id="a trailer"),
    ],
)
async def test_a_head_without_end_is_not_taken(begin: bytes, piece: bytes) -> None:
    """Whatever part of it has no end, the connection is closed, and others are served."""
    async with served() as port:
        assert await taken(port, begin, piece) < MOST_SENT
        assert (await exchange(port, GET + b"Connection: close\r\n\r\n")).endswith(b"ok")


async def test_a_head_that_is_too_large_is_a_431() -> None:
    """Its lines count together; the largest that may be passes, also behind another request."""
    line = b"X: a\r\n"
    fits = GET + line * ((HEAD_LIMIT - 256) // len(line))
    async with served() as port:
        answers = await exchange(port, fits + b"\r\n" + fits + b"Connection: close\r\n\r\n")
        assert answers.count(b"HTTP/1.1 200 ") == 2
        # Only the beginning of another line stands behind what is too much: what is not read resets a connection.
        counted = len(b"/") + len(b"Host: h\r\n")
        answer = await exchange(port, GET + line * ((HEAD_LIMIT - counted) // len(line) + 1) + b"X")
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_bodies_have_any_length() -> None:
    """Of a request that the application reads, in one piece or in many."""
    async with served() as port:
        body = b"a" * (4 * HEAD_LIMIT)
        head = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert (await exchange(port, head + body)).endswith(b"ok")
        chunks = b"1\r\na\r\n" * HEAD_LIMIT + b"0\r\n\r\n"
        answer = await exchange(port, CHUNKED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + chunks)
        assert answer.endswith(b"ok")


@pytest.mark.parametrize("sent", [b"", b"GET / HT"], ids=["nothing", "a part of a head"])
async def test_a_request_that_does_not_come_ends_its_connection(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """After a while, whatever has come of it."""
    monkeypatch.setattr(side_connections, "HEAD_SECONDS", 0.05)
    async with served() as port:
        assert await exchange(port, sent) == b""


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(b"\r\n", b"GET / HT", id="a part of a head"),
        pytest.param(b"Content-Length: 9\r\n\r\na", b"b", id="a part of a body that is not read"),
    ],
)
async def test_so_does_one_behind_an_answer(monkeypatch: pytest.MonkeyPatch, first: bytes, then: bytes) -> None:
    """What comes then does not keep the connection, as the first byte did for ever."""
    async with served() as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET + first)
        await reader.readuntil(b"ok")
        monkeypatch.setattr(side_connections, "HEAD_SECONDS", 0.05)
        writer.write(then)
        assert await reader.read() == b""
        writer.close()


async def test_an_application_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a request has come whole, no time for one counts; nor where the application does not ask for its body."""
    monkeypatch.setattr(side_connections, "HEAD_SECONDS", 0.15)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.2)
        await application(scope, receive, send)

    async with served(slow) as port:
        post = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        for size in (2, 4 * PIECE):
            assert (await exchange(port, post % size + b"a" * size)).endswith(b"ok")


@pytest.mark.parametrize("head", [CHUNKED, POST], ids=["chunked", "with a length"])
@pytest.mark.parametrize("piece", [b"", b"1\r\na\r\n"], ids=["nothing", "a byte at a time"])
async def test_a_body_that_does_not_come_is_a_408(monkeypatch: pytest.MonkeyPatch, head: bytes, piece: bytes) -> None:
    """After a while, also if a little of it comes again and again: its connection ends, and the next client is
    served."""
    monkeypatch.setattr(side_connections, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(side_connections, "MOST_CONNECTIONS", 1)
    async with served() as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        answer = asyncio.create_task(reader.read())
        while not (await asyncio.wait({answer}, timeout=0.05))[0]:
            writer.write(piece)
        assert answer.result().startswith(b"HTTP/1.1 408 ")
        assert b'{"error": "the body of the request did not come within 0.2 s' in answer.result()
        writer.close()
        assert (await exchange(port, GET + b"Connection: close\r\n\r\n")).endswith(b"ok")


async def test_an_answer_that_is_not_read_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is written already; a client that reads slowly gets all of it."""
    monkeypatch.setattr(clocked, "READ_SECONDS", 0.3)
    monkeypatch.setattr(side_connections, "MOST_CONNECTIONS", 1)

    async def long(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/pieces":
            for _ in range(MOST_SENT // 4 // PIECE):
                await send({"type": "http.response.body", "body": b"a" * PIECE, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "http.response.body", "body": b"a" * (MOST_SENT // 4)})

    async with served(long) as port, asyncio.timeout(30):
        for path in (b"/pieces", b"/at-once"):
            get = b"GET %b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get)
            received = 0
            while piece := await reader.read(MOST_SENT):
                received += len(piece)
                await asyncio.sleep(0.005)
            assert received > MOST_SENT // 4
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(get)
            await reader.readexactly(1)
            while not await exchange(port, b"GET / HTTP/1.0\r\n\r\n"):
                pass  # until the server has given up the other one
            writer.close()


async def test_so_does_one_that_is_read_a_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some bytes now and then are too few."""
    monkeypatch.setattr(clocked, "READ_SECONDS", 0.5)
    monkeypatch.setattr(clocked, "BYTES_PER_SECOND", 1024 * 1024)

    async def long(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a" * (MOST_SENT // 4)})

    async with served(long) as port, asyncio.timeout(30):
        assert await read_slowly(port, GET + b"\r\n") < 1024 * 1024


async def test_answers_that_nobody_reads_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a request is refused, with the remedy; once they are gone, the next is answered."""
    monkeypatch.setattr(side_connections, "MOST_UNREAD", MOST_SENT // 2)
    answered = 0

    async def long(scope: Any, receive: Any, send: Any) -> None:
        nonlocal answered
        answered += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a" * (MOST_SENT // 4)})

    get = GET + b"Connection: close\r\n\r\n"
    async with served(long) as port, asyncio.timeout(30):
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        for number, (reader, writer) in enumerate(clients):
            writer.write(get)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 " if number < 3 else b"HTTP/1.1 503 "), number
        assert b"32 MiB of answers wait until their clients read them" in await clients[-1][0].read()
        assert answered == 3
        for _, writer in clients:
            writer.transport.abort()
        while not (await exchange(port, get)).startswith(b"HTTP/1.1 200 "):
            pass  # until the server has seen that they are gone


async def test_no_more_requests_wait_than_may() -> None:
    """The first of many that are sent at once are answered, in order, and the last answer ends the connection."""
    asked = []

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await application(scope, receive, send)

    async with served(counting) as port:
        requests = [b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(3 * MOST_WAITING)]
        answers = (await exchange(port, b"".join(requests))).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert asked == [f"/{number}" for number in range(MOST_WAITING)]
    assert len(answers) == MOST_WAITING
    assert [b"connection: close\r\n" in answer for answer in answers] == [False] * (MOST_WAITING - 1) + [True]


async def test_as_many_as_may_wait_are_answered_again_and_again() -> None:
    """A connection on which no more wait goes on, also with bodies among them."""
    post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    async with served() as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write((GET + b"\r\n" + post) * (MOST_WAITING // 2))
            for _ in range(MOST_WAITING):
                assert b"connection: close" not in await reader.readuntil(b"\r\n\r\nok")
        writer.close()


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no request"),
        pytest.param(GET + b"X: a\r\n" * (HEAD_LIMIT // 4), id="a large head"),
        pytest.param(CHUNKED + b"1\r\na\r\nnonsense\r\n", id="a body that is none"),
    ],
)
async def test_what_is_refused_does_not_overtake_answers(behind: bytes) -> None:
    """What waits in front of it is answered, and then the connection is closed: a client takes answers by their
    order."""
    wait = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await wait.wait()
        await application(scope, receive, send)

    async with served(slow) as port, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((GET + b"\r\n") * 2 + behind)
        await writer.drain()
        asyncio.get_running_loop().call_later(0.1, wait.set)  # by when all has come
        answers = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(PIECE):
                answers += piece
        writer.close()
    assert [answer[:4] for answer in answers.split(b"HTTP/1.1 ")[1:3]] == [b"200 "] * 2


async def test_a_request_whose_client_leaves_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Also with others behind it, which are not begun; what it answers then is no error."""
    begun, told, asked = asyncio.Event(), asyncio.Event(), 0

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        await application(scope, receive, send)
        told.set()

    async with served(waiting) as port, asyncio.timeout(30):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((GET + b"\r\n") * 3)
        await begun.wait()
        writer.transport.abort()
        await told.wait()
    assert asked == 1
    assert not caplog.records


async def test_no_more_connections_are_kept_than_may_be(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One over the limit is closed at once, which the log says, and there is room again when another one has left."""
    monkeypatch.setattr(side_connections, "MOST_CONNECTIONS", 2)
    async with served() as port, asyncio.timeout(30):
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in kept:
            writer.write(CHUNKED.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
            await reader.readuntil(b"100 Continue\r\n\r\n")
        assert await exchange(port, GET + b"\r\n") == b""
        assert f"a connection to 127.0.0.1:{port} is refused: 2 are open; " in caplog.text
        kept[0][1].close()
        while not await exchange(port, GET + b"Connection: close\r\n\r\n"):
            pass  # until the server has seen that
        kept[1][1].close()


async def test_the_end_waits_for_nothing_where_nothing_is_under_way() -> None:
    """At the end of the gateway, connections on which no request is under way are closed at once."""
    loop = asyncio.get_running_loop()
    async with lateness() as late:
        async with served() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET + b"\r\n")
            await read_head(reader)
            assert await reader.readexactly(2) == b"ok"
            began = loop.time()
        assert loop.time() - began < 0.1 + late.seconds
        assert await reader.read() == b""
        writer.close()


async def test_the_end_waits_for_what_is_under_way() -> None:
    """A request that has come is answered, and then its connection is closed."""
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED + b"2\r\nab\r\n")
        await writer.drain()
        await exchange(port, GET + b"Connection: close\r\n\r\n")  # by whose end the first has been read
        asyncio.get_running_loop().call_later(0.2, writer.write, b"0\r\n\r\n")
    assert (await reader.read()).endswith(b"ok")
    writer.close()


async def test_the_end_waits_for_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that never comes whole does not keep the gateway from ending."""
    monkeypatch.setattr(side_connections, "END_SECONDS", 0.05)
    async with served() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED)
        await writer.drain()
        await exchange(port, GET + b"Connection: close\r\n\r\n")
    writer.close()
