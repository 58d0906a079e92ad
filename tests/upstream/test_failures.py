"""Backends that are not there, not in time, or not who they should be."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.support import GatewayProcess, eventually, exchange, free_port, running_gateway, scripted_backend
from tests.upstream.conftest import Sites
from tests.upstream.wire import OK, Wire, always, connected, read_head, read_message


def problem(response: Wire) -> tuple[int, str]:
    """Status and the last part of the problem type."""
    content = orjson.loads(response.body)
    assert (content["status"], content["origin"]) == (response.status, content["origin"])
    return response.status, content["type"].rpartition(":")[2]


@contextlib.contextmanager
def blackhole() -> Iterator[int]:
    """A port whose queue of connections is full: a connect waits for ever."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def ask(gateway: GatewayProcess, path: str) -> Wire:
    async with connected(gateway.port) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return await read_message(reader)


async def test_endpoints(tmp_path: Path) -> None:
    """Dead endpoints are passed over, weights are kept, and where all are dead the client learns why."""
    hits: Counter[str] = Counter()
    with blackhole() as hole:
        async with scripted_backend(always(OK)) as one, scripted_backend(always(OK.replace(b"ok", b"OK"))) as other:
            dead = free_port()
            routes = f"""
            services:
              weighted:
                balance: round_robin
                endpoints: [{{address: '127.0.0.1:{one}', weight: 3}}, '127.0.0.1:{other}']
              ailing: {{endpoints: ['127.0.0.1:{dead}', '127.0.0.1:{hole}', 'nowhere.invalid:80', '127.0.0.1:{one}']}}
              twice: {{endpoints: ['127.0.0.1:{dead}', '127.0.0.1:{dead}']}}
            routes:
            - {{path: /weighted, target: weighted}}
            - {{path: /ailing, target: ailing, timeout: {{connect: 1s}}}}
            - {{path: /twice, target: twice}}
            - {{path: /dead, target: '127.0.0.1:{dead}'}}
            - {{path: /hole, target: '127.0.0.1:{hole}', timeout: {{connect: 0.3s}}}}
            - {{path: /unknown, target: 'nowhere.invalid:80'}}
            - {{path: /named, target: 'backend.test:{one}', timeout: {{connect: 10s}}}}
            """
            arguments = ("--resolve", "backend.test=127.0.0.1")
            with running_gateway(tmp_path, routes, "errors: {detail: full}", arguments=arguments) as gateway:
                for _ in range(40):
                    hits[(await ask(gateway, "/weighted")).body.decode()] += 1
                assert hits == {"ok": 30, "OK": 10}
                assert {(await ask(gateway, "/ailing")).status for _ in range(8)} == {200}
                assert (await ask(gateway, "/named")).status == 200
                assert problem(await ask(gateway, "/twice")) == (502, "upstream-refused")
                assert problem(await ask(gateway, "/dead")) == (502, "upstream-refused")
                started = asyncio.get_running_loop().time()
                assert problem(await ask(gateway, "/hole")) == (504, "upstream-connect-timeout")
                assert asyncio.get_running_loop().time() - started > 0.3
                unknown = await ask(gateway, "/unknown")
                assert problem(unknown) == (502, "upstream-unresolved")
                assert b"nowhere.invalid does not resolve" in unknown.body
                assert "Traceback" not in gateway.log


async def test_out_of_descriptors(tmp_path: Path) -> None:
    """A gateway that cannot open one more socket says so with a 503, and is well again afterwards."""
    async with scripted_backend(always(OK)) as port:
        routes = f"routes: [{{path: /x, target: '127.0.0.1:{port}'}}]"
        with running_gateway(tmp_path, routes, "errors: {detail: full}") as gateway:
            async with connected(gateway.port) as (reader, writer):
                request = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
                writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                await read_message(reader)
                before = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
                resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (3, before[1]))
                writer.write(request)
                refused = await read_message(reader)
                assert problem(refused) == (503, "overloaded")
                assert b"out of file descriptors" in refused.body
                resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, before)
                writer.write(request)
                assert (await read_message(reader)).body == b"ok"


async def test_no_response(sites: Sites) -> None:
    """A backend that takes the request and says nothing is a 504, after the time-out and not before."""
    gone = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        await reader.read()
        gone.set()

    async with sites.backend(script, "impatient") as backend:
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert problem(await sites.get(backend.path + "/x")) == (504, "upstream-timeout")
        assert 2 <= loop.time() - started < 30  # without the time-out, a minute
        await gone.wait()


async def test_idle_in_the_body(sites: Sites) -> None:
    """A response that stops in the middle is an abort after the idle time-out; one that is merely slow is not."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        slow = "slow" in (await read_message(reader)).start
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n")
        for _ in range(6 if slow else 2):
            await asyncio.sleep(0.5)
            writer.write(b"x")
        await reader.read()

    async with sites.backend(script, "impatient") as backend:
        assert (await sites.get(backend.path + "/slow")).body == b"xxxxxx"
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await sites.get(backend.path + "/stops")


async def test_slow_client_is_not_the_backends_fault(sites: Sites) -> None:
    """A client that pauses longer than the idle time-out in its upload is waited for."""
    async with sites.backend(always(OK), "impatient") as backend, connected(sites.gateway.port) as (reader, writer):
        writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab" % f"{backend.path}/x".encode())
        await asyncio.sleep(2.5)
        writer.write(b"cd")
        assert (await read_message(reader)).body == b"ok"


async def test_stalled_upload(sites: Sites) -> None:
    """A backend that stops taking the request body is a 504 after the idle time-out."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with sites.backend(script, "impatient") as backend:
        size = 64 * 1024 * 1024
        async with connected(sites.gateway.port) as (reader, writer):
            writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\n" % f"{backend.path}/x".encode())
            writer.write(b"Content-Length: %d\r\n\r\n" % size)
            upload = asyncio.create_task(push(writer, size))
            assert problem(await read_message(reader)) == (504, "upstream-timeout")
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)


async def push(writer: asyncio.StreamWriter, size: int) -> None:
    """Send `size` bytes, as fast as they are taken."""
    piece = b"x" * 65536
    for _ in range(size // len(piece)):
        writer.write(piece)
        await writer.drain()


@pytest.mark.parametrize("where", ["head", "body"])
async def test_total(sites: Sites, where: str) -> None:
    """The total time-out ends an exchange, however busy it is: a 504, or an abort once the response has begun."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        if where == "body":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"data: x\n\n" if where == "body" else b"")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.05)

    async with sites.backend(script, "bounded") as backend:
        started = asyncio.get_running_loop().time()
        if where == "head":
            assert problem(await sites.get(backend.path + "/x")) == (504, "upstream-timeout")
        else:
            async with connected(sites.gateway.port) as (reader, writer):
                writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % f"{backend.path}/x".encode())
                assert (await read_head(reader)).status == 200
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await reader.readuntil(b"\r\n0\r\n\r\n")
        assert 2 <= asyncio.get_running_loop().time() - started < 30


@pytest.mark.parametrize("phase", ["head", "body", "upload"])
async def test_client_gone(sites: Sites, phase: str) -> None:
    """When the client goes away, the backend's connection is closed at once, whatever it was doing."""
    busy = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        if phase == "body":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        busy.set()
        await reader.read()

    async with sites.backend(script) as backend:
        async with connected(sites.gateway.port) as (reader, writer):
            length = 100 if phase == "upload" else 0
            writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\n" % f"{backend.path}/x".encode())
            writer.write(b"Content-Length: %d\r\n\r\n" % length + b"x" * (length // 2))
            await busy.wait()
            if phase == "body":
                await read_head(reader)
        await eventually(lambda: backend.open == 0)


async def test_body_over_the_limit(sites: Sites) -> None:
    """A chunked upload that grows over the limit on its way is a 413, not the backend's failure."""
    async with sites.backend(always(OK), "limited") as backend:
        head = f"POST {backend.path}/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
        answer = await exchange(sites.gateway.port, head.encode() + chunk * 3 + b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_takes_too_long(sites: Sites) -> None:
    """A client that has not sent its body by the end of the total time-out gets a 408: no fault of the backend."""
    async with sites.backend(always(OK), "bounded") as backend, connected(sites.gateway.port) as (reader, writer):
        writer.write(f"POST {backend.path}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc".encode())
        answer = await read_message(reader)
        assert (answer.status, orjson.loads(answer.body)["type"]) == (408, "urn:problem-type:gateway:request-timeout")
