"""The published suites of requests that take parsers apart: HTTP Garden, http-desync-guardian, Http11Probe, h1spec.

The backend here is a strict one: it fails a test whenever it reads a byte that could be read in two ways.
"""

import asyncio
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.server.client import Client, connected, statuses
from tests.server.suites import desync, garden, probe
from tests.support import running_gateway

FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)")
LINE = re.compile(rb"[A-Z]+ /[\x21-\x7e]* HTTP/1\.1")
LENGTH = re.compile(rb"0|[1-9][0-9]*")
SIZE = re.compile(rb"0|[1-9a-f][0-9a-f]*")


@dataclass
class Strict:
    """What reached the backend, in order, and what of it was not clean."""

    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    begun: int = 0
    dirt: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                line, *fields = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
                self.begun += 1
                self.bodies.append(await self._body(reader, line, fields))
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                writer.write(answer if line.startswith(b"HEAD") else answer + b"ok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except ValueError as error:
            self.dirt.append(str(error))
        finally:
            writer.close()

    async def _body(self, reader: asyncio.StreamReader, line: bytes, fields: list[bytes]) -> bytes:
        if not LINE.fullmatch(line):
            raise ValueError(f"request line {line!r}")
        headers = [_clean(field) for field in fields]
        framing = [(name, value) for name, value in headers if re.sub(rb"[_.]", b"-", name) in FRAMING]
        if not framing:
            return b""
        if len(framing) > 1 or framing[0][0] not in FRAMING:
            raise ValueError(f"framing {framing}")
        name, value = framing[0]
        if name == b"content-length":
            if not LENGTH.fullmatch(value):
                raise ValueError(f"length {value!r}")
            return await reader.readexactly(int(value))
        if value != b"chunked":
            raise ValueError(f"coding {value!r}")
        return await _chunks(reader)


FRAMING = (b"content-length", b"transfer-encoding")


def _clean(line: bytes) -> tuple[bytes, bytes]:
    match = FIELD.fullmatch(line)
    if match is None:
        raise ValueError(f"header line {line!r}")
    return match[1].lower(), match[2]


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = (await reader.readuntil(b"\r\n"))[:-2]
        if not SIZE.fullmatch(size.lower()):
            raise ValueError(f"chunk size {size!r}")
        if int(size, 16) == 0:
            break
        body += await reader.readexactly(int(size, 16))
        if await reader.readexactly(2) != b"\r\n":
            raise ValueError("no end of a chunk")
    while line := (await reader.readuntil(b"\r\n"))[:-2]:
        if _clean(line)[0] in (*FRAMING, b"host", b"authorization", b"content-type"):
            raise ValueError(f"trailer {line!r}")
    return body


@dataclass(frozen=True, slots=True)
class Between:
    """A gateway with the default limits, and the backend behind all of its paths."""

    port: int
    strict: Strict


@pytest.fixture(scope="module")
def strict() -> Iterator[Strict]:
    strict = Strict()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(strict.serve, "127.0.0.1", 0, limit=2**20))
    strict.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield strict
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.fixture(scope="module")
def shared(strict: Strict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Between]:
    routes = f"- path: /*\n  target: 127.0.0.1:{strict.port}\n"
    with running_gateway(tmp_path_factory.mktemp("suites"), f"base_path: /\nroutes:\n{routes}") as gateway:
        yield Between(gateway.port, strict)
    assert "Traceback" not in gateway.log


@pytest.fixture
def between(shared: Between) -> Between:
    """The same, with a backend that has seen nothing yet."""
    shared.strict.bodies.clear()
    shared.strict.dirt.clear()
    shared.strict.begun = 0
    return shared


async def refused(between: Between, data: bytes, *expected: int) -> None:
    """It has one answer, which refuses it; the connection is closed, and the backend has seen nothing of it."""
    async with connected(between.port) as client:
        await client.send(data)
        received = await client.rest()
    (status,) = statuses(received)
    assert status in expected
    assert between.strict.begun == 0
    assert not between.strict.dirt


async def answer_to(client: Client, data: bytes) -> int:
    """The status of the final answer."""
    await client.send(data)
    method = data.lstrip().partition(b" ")[0].decode()
    while (answer := await client.answer(method)).status < 200:
        assert b" HTTP/1.0" not in data
    return answer.status


async def passed(between: Between, data: bytes, body: bytes) -> None:
    """The backend read it in the one way in which it can be read, and what follows is the next request."""
    async with connected(between.port) as client:
        assert await answer_to(client, data) == 200
        assert between.strict.bodies == [body]
        if b" HTTP/1.0" not in data and b"Connection: close" not in data:
            assert await answer_to(client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnext") == 200
            assert between.strict.bodies == [body, b"next"]
    assert not between.strict.dirt


@pytest.mark.parametrize("name", desync.SEVERE)
async def test_severe(between: Between, name: str) -> None:
    """What http-desync-guardian calls severe is refused, in either encoding of what is beyond ASCII."""
    for data in {desync.SEVERE[name], desync.SEVERE[name].replace(b"\xc2", b"")}:
        await refused(between, data, 400, 501)


@pytest.mark.parametrize("name", desync.AMBIGUOUS)
async def test_ambiguous(between: Between, name: str) -> None:
    """What it calls ambiguous is refused as well, but for the few cases that docs/http-conformance.md names."""
    for data in {desync.AMBIGUOUS[name], desync.AMBIGUOUS[name].replace(b"\xc2", b"")}:
        await refused(between, data, 400, 501, 505)


@pytest.mark.parametrize("name", desync.AMBIGUOUS_AND_PASSED)
async def test_ambiguous_and_passed(between: Between, name: str) -> None:
    """Those few are sent on in a form that is not ambiguous any more."""
    await passed(between, *desync.AMBIGUOUS_AND_PASSED[name])


@pytest.mark.parametrize("name", desync.COMPLIANT)
async def test_compliant(between: Between, name: str) -> None:
    """What it calls compliant passes."""
    data = desync.COMPLIANT[name]
    await passed(between, data, data.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("name", garden.REFUSED)
async def test_garden(between: Between, name: str) -> None:
    """A payload of HTTP Garden is refused."""
    await refused(between, garden.REFUSED[name], 400, 501, 505)


@pytest.mark.parametrize("name", garden.PASSED)
async def test_garden_is_clean(between: Between, name: str) -> None:
    """A payload of it that is no fault by itself comes out clean, and nothing that it hides reaches the backend."""
    data, bodies = garden.PASSED[name]
    async with connected(between.port) as client:
        for _ in bodies:
            assert await answer_to(client, data) == 200
            data = b""
    assert between.strict.bodies == bodies
    assert not between.strict.dirt


@pytest.mark.parametrize("name", probe.REFUSED)
async def test_probe_refused(between: Between, name: str) -> None:
    """What Http11Probe and h1spec want refused, is, with the status that fits best."""
    status, data = probe.REFUSED[name]
    await refused(between, data, status)


@pytest.mark.parametrize("name", probe.PASSED)
async def test_probe_passed(between: Between, name: str) -> None:
    """What they want read is read, and the connection stays in step."""
    await passed(between, *probe.PASSED[name])


@pytest.mark.parametrize("name", probe.LEFT_OVER)
async def test_probe_left_over(between: Between, name: str) -> None:
    """Bytes behind a request that are no request are refused, and end the connection."""
    data, status = probe.LEFT_OVER[name]
    async with connected(between.port) as client:
        await client.send(data)
        assert statuses(await client.rest()) == [200, status]
    assert between.strict.bodies == [b""]
    assert not between.strict.dirt


async def test_unfinished(between: Between) -> None:
    """A request that is not over is waited for: others are served meanwhile, and its rest completes it."""
    async with asyncio.TaskGroup() as group:
        for begin, rest in probe.UNFINISHED.values():
            group.create_task(_completed(between, begin, rest))
    bodies = [b"helloworld", b"hello", *[b""] * (2 * len(probe.UNFINISHED) - 2)]
    assert sorted(between.strict.bodies) == sorted(bodies)
    assert not between.strict.dirt


async def _completed(between: Between, begin: bytes, rest: bytes) -> None:
    async with connected(between.port) as client, connected(between.port) as other:
        await client.send(begin)
        assert await answer_to(other, b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n") == 200
        assert await answer_to(client, rest) == 200


async def test_closing(between: Between) -> None:
    """The connection ends behind an answer where the client says so, and in HTTP/1.0 where it says nothing."""
    for data in (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"):
        async with connected(between.port) as client:
            await client.send(data)
            assert statuses(await client.rest()) == [200]


async def test_answers(between: Between) -> None:
    """Answers have a `Date`; `OPTIONS *` has none of the length that a 204 may not have."""
    async with connected(between.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        date = (await client.answer()).headers[b"date"]
        assert re.fullmatch(rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
        await client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, b"content-length" in answer.headers) == (204, False)
