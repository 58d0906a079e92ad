"""Responses of every shape, through a gateway process."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from tests.support import eventually
from tests.upstream.conftest import Sites
from tests.upstream.http1.test_codec import BAD
from tests.upstream.wire import OK, always, answering, connected, read_head, read_message, reset

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"ok"),
        (CHUNKED, b"hello"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ],
)
async def test_bodies(sites: Sites, answer: bytes, body: bytes) -> None:
    """The client gets status and body, however the backend marks the body's end."""
    async with sites.backend(answering(answer)) as backend:
        response = await sites.get(backend.path + "/x")
        assert (response.status, response.body) == (int(answer.split()[1]), body)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_no_body(sites: Sites, status: bytes) -> None:
    """204 and 304 are complete with their head, and the connections on both sides serve on."""
    async with sites.backend(always(b"HTTP/1.1 %b\r\nETag: x\r\n\r\n" % status)) as backend:
        async with connected(sites.gateway.port) as (reader, writer):
            for _ in range(2):
                writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
                response = await read_head(reader)
                assert response.fields["etag"] == "x"
        assert backend.accepted == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked", b"X-None: 1"])
async def test_head(sites: Sites, framing: bytes) -> None:
    """HEAD has the headers of GET and no body, and the connections on both sides serve on."""
    async with sites.backend(always(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)) as backend:
        async with connected(sites.gateway.port) as (reader, writer):
            for _ in range(2):
                writer.write(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
                response = await read_head(reader)
                assert response.fields.get("content-length") == ("1000" if b"1000" in framing else None)
        assert backend.accepted == 1


async def test_interim(sites: Sites) -> None:
    """A 103 reaches the client ahead of the response, with its links only; a 100 and a 102 do not."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nX-Secret: 1\r\n\r\n"
    first = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    async with (
        sites.backend(answering(first + hints + OK)) as backend,
        connected(sites.gateway.port) as (reader, writer),
    ):
        writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
        early = await read_head(reader)
        assert (early.status, early.headers) == (103, [("link", "</a>"), ("link", "</b>")])
        assert (await read_message(reader)).body == b"ok"


@pytest.mark.parametrize("name", BAD)
async def test_bad_response(sites: Sites, name: str) -> None:
    """What is no valid response is a 502 that says so, also where a good head came with it; nothing of it reaches the
    client."""
    async with sites.backend(answering(BAD[name])) as backend:
        for _ in range(5):
            try:
                response = await sites.get(backend.path + "/x")
            except (ConnectionResetError, asyncio.IncompleteReadError):
                continue  # the longest of them came in two reads, and its good head had gone on
            break
        else:
            pytest.fail("the response is cut off each time")
        problem = orjson.loads(response.body)
        assert (response.status, problem["origin"]) == (502, "upstream")
        assert problem["type"].endswith(":upstream-bad-response")
        assert backend.label not in response.body.decode()


@pytest.mark.parametrize(
    ("answer", "by_reset"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", True),
    ],
)
async def test_cut_short(sites: Sites, answer: bytes, by_reset: bool) -> None:
    """A response cut short in its body is an abort for the client, never a clean end."""
    seen = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        head, _, body = answer.partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        await seen.wait()
        writer.write(body)
        await writer.drain()
        if by_reset:
            reset(writer)

    async with sites.backend(script) as backend, connected(sites.gateway.port) as (reader, writer):
        # HTTP/1.0 has no chunks: only a reset tells the client that an unannounced length was cut short.
        writer.write(b"GET %b HTTP/1.0\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
        assert (await read_head(reader)).status == 200
        seen.set()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(100_000) if b"Length" in answer else await reader.read(-1)


@pytest.mark.parametrize("delay", [False, True], ids=["in one write", "while idle"])
async def test_a_second_response_is_not_forwarded(sites: Sites, delay: bool) -> None:
    """Bytes behind a complete response never become the response to another request."""
    stolen = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
    sent = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(OK if delay else OK + stolen)
        if delay:
            await sent.wait()
            writer.write(stolen)
        await reader.read()

    async with sites.backend(script) as backend:
        for number in range(5):
            sent.clear()
            assert (await sites.get(backend.path + "/x")).body == b"ok"
            sent.set()
            await eventually(lambda: backend.open == 0)
            assert backend.accepted == number + 1
