"""Checks over plain TCP: what passes is the same for endpoints that are looked at by the short way and by the long."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import socket
import struct
import time
from collections.abc import AsyncIterator

import pytest
import uvloop

from gateway.balancing.table import BALANCERS
from gateway.deadlines import Deadlines
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.health import Checked
from gateway.upstream.member import Address, Member
from gateway.upstream.probe import BODY_LIMIT, Check
from gateway.upstream.probe_turns import ProbeTurns
from gateway.upstream.prober import Prober
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.transport import Connector, Resolver
from tests.support import eventually, free_port, lateness, scripted_backend
from tests.upstream.wire import Script, always, read_message

HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])  # the short way, and the long
HEAD = b"HTTP/1.1 200 OK\r\n"
LONG = b"x" * (BODY_LIMIT + 10)


@contextlib.asynccontextmanager
async def checking(host: str, port: int, check: Check) -> AsyncIterator[Endpoint]:
    """An endpoint that is checked."""
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    upstream = Upstream("s", connector, Settings(BALANCERS["round_robin"]), [Member(Address(host, port))])
    prober = Prober(upstream, check, ProbeTurns())
    await prober.start()
    yield upstream.endpoints[0]
    prober.retire()


async def found(endpoint: Endpoint) -> Checked:
    """What the first check finds."""
    await eventually(lambda: endpoint.health.checked is not None)
    assert endpoint.health.checked is not None
    return endpoint.health.checked


def chunked(*pieces: bytes) -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


@HOSTS
@pytest.mark.parametrize(
    ("answer", "contains", "result"),
    [
        (HEAD + b"Content-Length: 0\r\n\r\n", b"", "passed"),
        (HEAD + b"Content-Length: 900\r\n\r\n", b"", "passed"),  # the head is enough
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 0\r\n\r\n", b"", "passed"),
        (b"HTTP/1.0 200 OK\r\n\r\nall is well", b"is well", "passed"),  # the end of the connection ends it
        (chunked(b"all is", b" well"), b"is well", "passed"),
        (HEAD + b"Content-Length: 65546\r\n\r\n" + LONG, b"xx", "passed"),
        (
            HEAD + b"Content-Length: 65551\r\n\r\n" + LONG + b"is well",
            b"well",
            "its answer does not contain the expected text",
        ),
        (
            HEAD + b"Content-Length: 900\r\n\r\nall is well",
            b"is well",
            "closed the connection in the middle of its response",
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 900\r\n\r\n",
            b"is well",
            "answered 404 to GET /health: is that its",
        ),
        (b"HTTP/1.1 101 x\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\n", b"", "sent an invalid response: "),
        (b"SSH-2.0-x\r\n", b"", "sent an invalid response: "),
        (HEAD + b"x" * 200_000, b"", "sent an invalid response: "),
        (HEAD, b"", "closed the connection in the middle of its response"),
        (b"", b"", "closed the connection before it answered"),
    ],
)
async def test_what_is_answered(host: str, answer: bytes, contains: bytes, result: str) -> None:
    """The status and the text decide, however they come; what is no answer is a failure, in so many words."""
    check, began = Check("/health", contains=contains), time.perf_counter()
    async with scripted_backend(once(answer)) as port, checking(host, port, check) as endpoint:
        checked = await found(endpoint)
    assert result in checked.result
    assert checked.passed == (result == "passed")
    assert 0 < checked.seconds < time.perf_counter() - began


def once(answer: bytes) -> Script:
    """Answer one request with this, and close."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        writer.write(answer)
        await writer.drain()

    return script


@HOSTS
@pytest.mark.parametrize("piece", [b"", b"H", b"HTTP/1.1 200 OK\r\n", HEAD + b"Content-Length: 9\r\n\r\n"])
async def test_no_answer_in_time(host: str, piece: bytes) -> None:
    """A check that is not answered in time has failed, also where something has come, or comes byte by byte."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        for byte in piece:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.005)
        await reader.read()

    check = Check("/health", timeout=1, contains=b"well")  # in which it must have connected
    async with lateness() as late, scripted_backend(script) as port, checking(host, port, check) as endpoint:
        checked = await found(endpoint)
        assert (checked.passed, checked.result) == (False, "no answer in 1 s")
        assert 1 <= checked.seconds < 3 + 2 * late.seconds
        assert not endpoint.connections.unreachable


@HOSTS
@pytest.mark.parametrize("path", [None, "/health"])
async def test_connection_refused(host: str, path: str | None) -> None:
    """An endpoint whose queue of connections is full, and one that does not listen, cannot be reached."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as full, contextlib.ExitStack() as stack:
        port = full.getsockname()[1]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        async with checking(host, port, Check(path, timeout=0.2)) as endpoint:
            assert (await found(endpoint)).result == "no answer in 0.2 s"
            assert endpoint.connections.unreachable
    async with checking(host, free_port(), Check(path)) as endpoint:
        assert (await found(endpoint)).result == "Connection refused"
        assert endpoint.connections.unreachable


async def test_over_ipv6() -> None:
    """An address of IPv6 is checked like any other."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            server = await asyncio.start_server(always(HEAD + b"Content-Length: 0\r\n\r\n"), "::1", 0)
        except OSError:
            pytest.skip("there is no IPv6 here")
        stack.callback(server.close)
        async with checking("::1", server.sockets[0].getsockname()[1], Check("/health")) as endpoint:
            assert (await found(endpoint)).passed


@HOSTS
async def test_a_check_that_is_given_up_leaves_nothing(host: str) -> None:
    """When an endpoint leaves its service in the middle of a check, its connection is closed at once."""
    over = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        started.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        over.set()

    started = asyncio.Event()
    async with scripted_backend(script) as port:
        async with checking(host, port, Check("/health", timeout=60)):
            await started.wait()
            since = time.perf_counter()
        async with asyncio.timeout(30):
            await over.wait()
        assert time.perf_counter() - since < 30


def test_an_answer_with_a_reset_behind_it() -> None:
    """All that has come is read, and the check does not wait for its time-out; also on the loop of a gateway."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.write(HEAD + b"Content-Length: 9000000\r\n\r\n" + b"x" * 50_000)
        await writer.drain()

    async def reset_behind() -> Checked:
        check = Check("/", contains=b"well")
        async with scripted_backend(script) as port, checking("127.0.0.1", port, check) as endpoint:
            return await found(endpoint)

    assert "closed the connection" in uvloop.run(reset_behind()).result


@HOSTS
async def test_a_gateway_without_descriptors_says_nothing_of_its_endpoints(host: str) -> None:
    """It cannot ask them, which is shown, and is no failure of theirs."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    check = Check("/", interval=0.02, unhealthy_after=1)
    async with scripted_backend(always(HEAD + b"Content-Length: 0\r\n\r\n")) as port:
        gc.collect()  # what other tests have left would close its descriptors in the middle of this one
        with socket.socket() as last, contextlib.ExitStack() as stack:
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, descriptors)
            resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 1, descriptors[1]))
            async with checking(host, port, check) as endpoint:
                assert "out of file descriptors" in (await found(endpoint)).result
                assert endpoint.health.out(time.perf_counter()) is None
                assert not endpoint.connections.unreachable
                stack.close()
                await eventually(lambda: endpoint.health.checked is not None and endpoint.health.checked.passed)
