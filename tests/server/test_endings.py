"""How connections end: the client's way, the backend's way, and ours."""

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from tests.server.backend import Backend
from tests.server.client import connected, statuses
from tests.server.conftest import Site
from tests.support import eventually, running_gateway


def get(path: str, *lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"GET %b HTTP/%b" % (path.encode(), version), b"Host: a", *lines]) + b"\r\n\r\n"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("kind", ["length", "chunked"])
async def test_a_response_cut_short_upstream_is_a_reset(site: Site, kind: str, version: bytes) -> None:
    """A client can tell a response that was cut short from a whole one, also HTTP/1.0, which reads until the end."""
    async with connected(site.port) as client:
        await client.send(get(f"/e/cut/{kind}", version=version))
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_a_client_that_closes_its_side_is_answered(site: Site) -> None:
    """A client that says all it has to say and closes its side still gets its answers."""
    async with connected(site.port) as client:
        await client.send(get("/e/half1") + get("/e/half2"))
        client.writer.write_eof()
        assert statuses(await client.rest()) == [200, 200]


@pytest.mark.parametrize(
    "data",
    [
        b"GET /e/x HTT",
        b"GET /e/x HTTP/1.1\r\nHost: a\r\n",
        b"POST /e/eof HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
    ],
)
async def test_a_request_that_ends_early(site: Site, data: bytes) -> None:
    """A request that the client ends in its middle is refused at once, and never a whole one for the backend."""
    async with connected(site.port) as client:
        await client.send(data)
        client.writer.write_eof()
        assert statuses(await client.rest()) == [400]
    assert not site.backend.paths("/e/eof")


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("kind", ["hang", "events"])
async def test_client_gone_upstream_cancelled(site: Site, kind: str, ending: str) -> None:
    """When the client goes away the backend's connection is closed, before the response and in its middle."""
    path = f"/e/{kind}/{ending}"
    async with connected(site.port) as client:
        await client.send(get(path))
        await eventually(lambda: f"GET {path} HTTP/1.1" in site.backend.heads)
        if kind == "events":
            assert b"data: 1" in await client.reader.readuntil(b"data: 1\n")
        if ending == "reset":
            client.reset()
    await eventually(lambda: f"GET {path} HTTP/1.1" in site.backend.gone)


@pytest.mark.parametrize(
    "data",
    [
        b"GE",
        get("/e/x")[:-2],
        get("/e/x"),
        get("/e/x") * 50,
        get("/e/big/10000000"),
        b"POST /e/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        b"POST /e/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        b"POST /e/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        b"BAD\r\n\r\n",
    ],
)
async def test_a_reset_in_the_middle_of_everything(site: Site, data: bytes) -> None:
    """A reset at any moment is survived, without a traceback in the log."""
    for turns in range(6):
        async with connected(site.port) as client:
            await client.send(data)
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            client.reset()
    async with connected(site.port) as client:
        await client.send(get("/e/after", b"Connection: close"))
        assert statuses(await client.rest()) == [200]
    assert "Traceback" not in site.gateway.log


async def test_an_upload_survives_the_end_of_the_gateway(backend: Backend, tmp_path: Path) -> None:
    """A gateway that is stopped still takes the rest of an upload, and its answer says that it closes."""
    routes = f"routes: [{{path: /e/*, target: '127.0.0.1:{backend.port}'}}]"
    with running_gateway(tmp_path, routes) as gateway:
        async with connected(gateway.port) as client:
            await client.send(b"POST /e/last-upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
            await eventually(lambda: "POST /e/last-upload HTTP/1.1" in backend.heads)
            gateway.signal(signal.SIGINT)
            await eventually(lambda: refused(gateway.port))
            await client.send(b"def")
            answer = await client.answer()
        assert answer.body == b"POST /e/last-upload abcdef"
        assert answer.headers[b"connection"] == b"close"
        assert await asyncio.to_thread(gateway.wait, 20) == 0


def refused(port: int) -> bool:
    """Whether a port of this machine is closed."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0


async def test_a_client_gone_after_a_large_body(site: Site) -> None:
    """A client that goes away behind a body that was read in one go is noticed, too."""
    async with connected(site.port) as client:
        await client.send(b"POST /e/hang/large HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500000)
        await eventually(lambda: "/e/hang/large" in site.backend.paths("/e/hang/large"))
    await eventually(lambda: "POST /e/hang/large HTTP/1.1" in site.backend.gone)
