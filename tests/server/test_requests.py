"""Requests on one connection: pipelines, bodies, trailers, expectations, upgrades."""

import asyncio
import shutil

import pytest

from tests.server.client import Client, connected, statuses
from tests.server.conftest import Site
from tests.support import eventually


def get(path: str, *lines: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    head = [b"%b %b HTTP/%b" % (method, path.encode(), version), b"Host: a", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n"


def post(path: str, body: bytes, *lines: bytes) -> bytes:
    return get(path, b"Content-Length: %d" % len(body), *lines, method=b"POST") + body


async def test_a_pipeline_is_answered_in_order(site: Site) -> None:
    """Requests sent at once, bodies and HEAD among them, are answered one after the other, in their order."""
    chunked = get("/e/p4", b"Transfer-Encoding: chunked", method=b"PUT") + b"3\r\nxyz\r\n0\r\n\r\n"
    data = get("/e/p1") + get("/e/p2", method=b"HEAD") + post("/e/p3", b"GET /") + chunked + get("/e/p5")
    async with connected(site.port) as client:
        await client.send(data)
        bodies = [(await client.answer(method)).body for method in ("GET", "HEAD", "POST", "PUT", "GET")]
    assert bodies == [b"GET /e/p1 ", b"", b"POST /e/p3 GET /", b"PUT /e/p4 xyz", b"GET /e/p5 "]


async def test_hundreds_in_one_write(site: Site) -> None:
    """Five hundred requests in one write get five hundred answers."""
    async with connected(site.port) as client:
        await client.send(b"".join(get(f"/e/many{number}") for number in range(500)))
        for number in range(500):
            assert (await client.answer()).body == f"GET /e/many{number} ".encode()


async def test_an_endless_pipeline_costs_no_memory(site: Site) -> None:
    """A client that pipelines behind a request that takes long is made to wait, not remembered."""
    before = site.gateway.memory()
    async with connected(site.port) as client:
        await client.send(get("/e/hang/pipelined"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood(client), 0.5)
        assert site.gateway.memory() - before < 4 * 2**20
    assert not site.backend.paths("/e/flood")


async def flood(client: Client) -> None:
    while True:
        await client.send(get("/e/flood") * 1000)


async def test_a_pipeline_whose_answers_are_not_read(site: Site) -> None:
    """Nothing more is asked of the backend for a client that does not read; nothing is wrong when it goes away then."""
    count = 2000
    async with connected(site.port, receive_buffer=4096) as client:
        client.stop_reading()
        client.writer.write(get("/e/whole/20000") * count)
        before = 0
        while before != (before := len(site.backend.paths("/e/whole/"))) or not before:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert before < count
        client.reset()
    await eventually(lambda: any("client-gone" in line for line in whole(site)))
    assert "Traceback" not in site.gateway.log


def whole(site: Site) -> list[str]:
    return [line for line in site.gateway.access_log.splitlines() if "/e/whole/" in line]


async def test_nothing_behind_a_close(site: Site) -> None:
    """What follows a request with `Connection: close` is not answered, and does not cost the client its response."""
    async with connected(site.port) as client:
        await client.send(get("/e/last", b"Connection: close") + get("/e/behind") * 2000)
        assert statuses(await client.rest()) == [200]
    assert not site.backend.paths("/e/behind")


async def test_http_1_0(site: Site) -> None:
    """HTTP/1.0 is answered and closed, or kept where it asks for that, and then says so."""
    async with connected(site.port) as client:
        await client.send(get("/e/old", b"Connection: keep-alive", version=b"1.0"))
        answer = await client.answer()
        assert answer.headers[b"connection"] == b"keep-alive"
        await client.send(get("/e/old", version=b"1.0"))
        assert statuses(await client.rest()) == [200]


async def test_one_piece(site: Site) -> None:
    """A small response is written in one go: its head never comes without its body."""
    async with connected(site.port) as client:
        for _ in range(50):
            await client.send(get("/e/small"))
            assert (await client.reader.read(65536)).endswith(b"GET /e/small ")


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_responses_without_a_body(site: Site, status: int, method: bytes) -> None:
    """204 and 304 end with their head, and the connection goes on."""
    async with connected(site.port) as client:
        await client.send(get(f"/e/status/{status}", method=method) + get("/e/next"))
        first = await client.answer()
        assert first.status == status
        assert b"transfer-encoding" not in first.headers
        assert (await client.answer()).body == b"GET /e/next "


async def test_trailers_of_a_request(site: Site) -> None:
    """The trailer section of a request reaches the backend."""
    async with connected(site.port) as client:
        await client.send(
            get("/e/trailers", b"Transfer-Encoding: chunked", method=b"POST") + b"1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n"
        )
        assert (await client.answer()).status == 200
    (seen,) = [seen for seen in site.backend.seen if "/e/trailers" in seen.line]
    assert (b"x-sum", b"7") in seen.trailers


@pytest.mark.parametrize("line", [b"Connection: close", b"Proxy-Connection: close", b"Upgrade: websocket"])
async def test_a_trailer_does_not_end_a_connection(site: Site, line: bytes) -> None:
    """What only a head may say is dropped from trailers, and the next request is answered as the first."""
    first = get("/e/trailing", b"Transfer-Encoding: chunked", method=b"POST") + b"1\r\na\r\n0\r\n" + line + b"\r\n\r\n"
    async with connected(site.port) as client:
        for _ in range(2):
            await client.send(first)
            assert (await client.answer()).status == 200
        await client.send(get("/e/following"))
        assert (await client.answer()).body == b"GET /e/following "


NODE = """
const http = require("http"), agent = new http.Agent({keepAlive: true, maxSockets: 1}), ports = new Set();
const ask = left => http.request({port: process.argv[1], path: "/e/chunks", method: "HEAD", agent}, response => {
    ports.add(response.socket.localPort);
    response.resume().on("end", () => left ? setImmediate(ask, left - 1) : console.log(ports.size) || agent.destroy());
}).end();
ask(20);
"""


async def test_head_of_what_has_no_length(site: Site) -> None:
    """The answer says that GET has chunks, which clients need in order to keep the connection."""
    async with connected(site.port) as client:
        for _ in range(2):
            await client.send(get("/e/chunks", method=b"HEAD"))
            answer = await client.answer("HEAD")
            assert (answer.status, answer.headers[b"transfer-encoding"]) == (200, b"chunked")
            assert b"content-length" not in answer.headers
        await client.send(get("/e/chunks", method=b"HEAD", version=b"1.0"))
        assert b"transfer-encoding" not in (await client.answer("HEAD")).headers


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_nodes_agent_keeps_its_connection(site: Site) -> None:
    """Many HEAD requests for something of unknown length go over one connection."""
    process = await asyncio.create_subprocess_exec("node", "-e", NODE, str(site.port), stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert output == b"1\n"


# Expect: 100-continue.


async def test_continue(site: Site) -> None:
    """A client that waits for 100 gets it once the backend's connection wants the body, then the response."""
    async with connected(site.port) as client:
        await client.send(get("/e/continue", b"Expect: 100-continue", b"Content-Length: 3", method=b"POST"))
        assert (await client.answer()).status == 100
        await client.send(b"abc" + get("/e/next"))
        assert (await client.answer()).body == b"POST /e/continue abc"
        assert (await client.answer()).body == b"GET /e/next "


async def test_no_continue_for_a_body_that_is_there(site: Site) -> None:
    """A client that does not wait gets no 100, and keeps its connection."""
    async with connected(site.port) as client:
        await client.send(post("/e/eager", b"abc", b"Expect: 100-Continue") + get("/e/next"))
        assert (await client.answer()).status == 200
        assert (await client.answer()).body == b"GET /e/next "


@pytest.mark.parametrize("path", ["/none", "/small/x"])
async def test_refused_before_the_body(site: Site, path: str) -> None:
    """A refusal comes instead of the 100, and closes: it is unknown whether the body still comes."""
    async with connected(site.port) as client:
        await client.send(get(path, b"Expect: 100-continue", b"Content-Length: 100000", method=b"POST"))
        assert statuses(await client.rest()) == [404 if path == "/none" else 413]


async def test_no_continue_for_http_1_0(site: Site) -> None:
    """HTTP/1.0 knows no interim response: the expectation is ignored."""
    async with connected(site.port) as client:
        await client.send(
            get("/e/old", b"Expect: 100-continue", b"Content-Length: 3", method=b"POST", version=b"1.0") + b"abc"
        )
        assert statuses(await client.rest()) == [200]


# Unread bodies.


async def test_an_unread_body_is_skipped(site: Site) -> None:
    """A body that came for nothing is thrown away, and the next request is read behind it."""
    async with connected(site.port) as client:
        await client.send(post("/none", b"GET /e/smuggled HTTP/1.1\r\n\r\n" * 100) + get("/e/next"))
        assert (await client.answer()).status == 404
        assert (await client.answer()).body == b"GET /e/next "
        await client.send(get("/none", b"Transfer-Encoding: chunked", method=b"POST"))
        assert (await client.answer()).status == 404
        await client.send(b"5\r\nGET /\r\n0\r\n\r\n" + get("/e/next2"))
        assert (await client.answer()).body == b"GET /e/next2 "
    assert not site.backend.paths("/e/smuggled")


@pytest.mark.parametrize(("path", "status"), [("/none", 404), ("/small/x", 413)])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_refused_upload_gets_its_answer(site: Site, path: str, status: int, framing: str) -> None:
    """A client that sends ten megabytes before it listens finds the refusal, not a reset."""
    size = 10 * 2**20
    header = b"Content-Length: %d" % size if framing == "length" else b"Transfer-Encoding: chunked"
    piece = b"x" * 2**16
    if framing == "chunked":
        piece = b"10000\r\n" + piece + b"\r\n"
    async with connected(site.port) as client:
        await client.send(get(path, header, method=b"POST"))
        for _ in range(size // 2**16):
            await client.send(piece)
        assert (await client.answer()).status == status


async def test_a_bad_chunk_after_the_head_went_upstream(site: Site) -> None:
    """A body that turns out malformed is a 400 for the client, and never a whole request for the backend."""
    async with connected(site.port) as client:
        await client.send(get("/e/halfway", b"Transfer-Encoding: chunked", method=b"POST") + b"3\r\nabc\r\n")
        await eventually(lambda: any("/e/halfway" in head for head in site.backend.heads))
        await client.send(b"zz\r\n")
        assert statuses(await client.rest()) == [400]
    assert not site.backend.paths("/e/halfway")


# Upgrades.


@pytest.mark.parametrize("piece", [0, 1])
@pytest.mark.parametrize("chunked", [False, True])
async def test_an_ignored_upgrade_keeps_its_body(site: Site, chunked: bool, piece: int) -> None:
    """`Upgrade: h2c` is ignored, and the body stays a body: no byte of it is read as a request."""
    path = f"/e/h2c/{chunked}/{piece}"
    inner = get("/e/smuggled-h2c")
    lines = [b"Connection: upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"]
    if chunked:
        data = get(path, *lines, b"Transfer-Encoding: chunked", method=b"POST")
        data += b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)
    else:
        data = post(path, inner, *lines)
    async with connected(site.port) as client:
        await client.send(data + get("/e/next"), piece=piece)
        assert (await client.answer()).status == 200
        assert (await client.answer()).body == b"GET /e/next "
    assert site.backend.body_of(path) == inner
    assert not site.backend.paths("/e/smuggled-h2c")


async def test_a_websocket_handshake_behind_another_request(site: Site) -> None:
    """A handshake that is pipelined waits its turn, and is then treated as one."""
    handshake = get("/none", b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    async with connected(site.port) as client:
        await client.send(get("/e/first") + handshake[:-2] + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        assert (await client.answer()).body == b"GET /e/first "
        assert statuses(await client.rest()) == [404]
