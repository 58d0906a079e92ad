"""What must not pass, sent whole and byte by byte: the same answer, a closed connection, and nothing at the backend."""

import asyncio
import socket
import ssl

import pytest

from tests.server.client import connected, statuses
from tests.server.conftest import Site
from tests.support import eventually

END = b"\r\n\r\n"


def get(*lines: bytes, line: bytes = b"GET /e/bad HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: a", *lines]) + END


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return get(*lines, line=b"POST /e/bad HTTP/1.1") + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)


REFUSED = {
    # The request line.
    "two spaces before the target": (400, get(line=b"GET  /e/bad HTTP/1.1")),
    "two spaces behind the target": (400, get(line=b"GET /e/bad  HTTP/1.1")),
    "a tab in the request line": (400, get(line=b"GET\t/e/bad HTTP/1.1")),
    "a space before the method": (400, get(line=b" GET /e/bad HTTP/1.1")),
    "a space behind the version": (400, get(line=b"GET /e/bad HTTP/1.1 ")),
    "a bare LF before the request": (400, b"\n" + get()),
    "a bare CR before the request": (400, b"\r" + get()),
    "endless blank lines": (400, b"\r\n" * 1000),
    "HTTP/0.9": (400, b"GET /e/bad\r\n"),
    "HTTP/0.9 with LF": (400, b"GET /e/bad\n"),
    "version 0.9": (505, get(line=b"GET /e/bad HTTP/0.9")),
    "version 1.2": (505, get(line=b"GET /e/bad HTTP/1.2")),
    "version 2.0": (505, get(line=b"GET /e/bad HTTP/2.0")),
    "version 1.10": (400, get(line=b"GET /e/bad HTTP/1.10")),
    "version 01.1": (400, get(line=b"GET /e/bad HTTP/01.1")),
    "version in lower case": (400, get(line=b"GET /e/bad http/1.1")),
    "another protocol": (400, get(line=b"GET /e/bad RTSP/1.0")),
    "no version number": (400, get(line=b"GET /e/bad HTTP/")),
    "the HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a TLS client hello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2),
    "a method in lower case": (501, get(line=b"get /e/bad HTTP/1.1")),
    "an unknown method": (501, get(line=b"FROBNICATE /e/bad HTTP/1.1")),
    "a known method with more behind it": (501, get(line=b"GETS /e/bad HTTP/1.1")),
    "a method that is no token": (400, get(line=b"G(T /e/bad HTTP/1.1")),
    "an endless method": (400, b"A" * 4096),
    "CONNECT": (501, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443" + END),
    "TRACE": (501, get(line=b"TRACE /e/bad HTTP/1.1")),
    "a host longer than names are": (400, b"GET /e/bad HTTP/1.1\r\nHost: " + b"a" * 300 + b".test" + END),
    # The target.
    "an absolute form with such a host": (400, b"GET http://" + b"a" * 300 + b"/e/bad HTTP/1.0" + END),
    "a target without a slash": (400, get(line=b"GET e/bad HTTP/1.1")),
    "an asterisk with GET": (400, get(line=b"GET * HTTP/1.1")),
    "a fragment": (400, get(line=b"GET /e/bad#fragment HTTP/1.1")),
    "a byte beyond ASCII in the target": (400, get(line=b"GET /e/\xc3\xa9 HTTP/1.1")),
    "a NUL in the target": (400, get(line=b"GET /e/\x00bad HTTP/1.1")),
    "DEL in the target": (400, get(line=b"GET /e/\x7fbad HTTP/1.1")),
    "an absolute form of another scheme": (400, get(line=b"GET ftp://a/e/bad HTTP/1.1")),
    "an absolute form that contradicts Host": (400, get(line=b"GET http://b/e/bad HTTP/1.1")),
    "an absolute form with another port": (400, get(line=b"GET http://a:8080/e/bad HTTP/1.1")),
    "an absolute form with user information": (400, get(line=b"GET http://a@b/e/bad HTTP/1.1")),
    "an absolute form without a host": (400, b"GET http:///e/bad HTTP/1.0" + END),
    # Host.
    "no Host": (400, b"GET /e/bad HTTP/1.1" + END),
    "two Hosts": (400, get(b"Host: b")),
    "the same Host twice": (400, get(b"Host: a")),
    "an empty Host": (400, b"GET /e/bad HTTP/1.1\r\nHost: " + END),
    "a Host with a path": (400, b"GET /e/bad HTTP/1.1\r\nHost: a/b" + END),
    "a Host with a user": (400, b"GET /e/bad HTTP/1.1\r\nHost: u@a" + END),
    "a Host with a stray percent sign": (400, b"GET /e/bad HTTP/1.1\r\nHost: a%zz" + END),
    "a Host with a space": (400, b"GET /e/bad HTTP/1.1\r\nHost: a b" + END),
    "a Host with a bad port": (400, b"GET /e/bad HTTP/1.1\r\nHost: a:b" + END),
    "a Host list": (400, b"GET /e/bad HTTP/1.1\r\nHost: a, b" + END),
    # Header lines.
    "a space before the colon": (400, get(b"A : b")),
    "a tab before the colon": (400, get(b"A\t: b")),
    "a first line that is folded": (400, b"GET /e/bad HTTP/1.1\r\n Host: a" + END),
    "a folded line": (400, get(b"A: b\r\n c")),
    "a line folded with a tab": (400, get(b"A: b\r\n\tc")),
    "a line without a colon": (400, get(b"A")),
    "a line without a name": (400, get(b": b")),
    "a name that is no token": (400, get(b"A(: b")),
    "a name beyond ASCII": (400, get(b"\xc3\xa9: b")),
    "a NUL in a name": (400, get(b"A\x00: b")),
    "a NUL in a value": (400, get(b"A: b\x00c")),
    "a control character in a value": (400, get(b"A: b\x01c")),
    "DEL in a value": (400, get(b"A: b\x7fc")),
    "a bare CR in a value": (400, get(b"A: b\rc")),
    "a bare CR at the end of a line": (400, get(b"A: b\rB: c")),
    "a bare LF at the end of a line": (400, get(b"A: b\nB: c")),
    "two CR": (400, get(b"A: b\r")),
    "bare LF everywhere": (400, get().replace(b"\r\n", b"\n")),
    "bare CR everywhere": (400, get().replace(b"\r\n", b"\r") + b"x"),
    "an end of bare LF": (400, get()[:-2] + b"\n"),
    "an end of CR and something": (400, get()[:-1] + b"x"),
    # Framing.
    "both lengths": (400, post(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    "both lengths the other way": (400, post(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b"0\r\n\r\n")),
    "two different lengths": (400, post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd")),
    "the same length twice": (400, post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc")),
    "a length list": (400, post(b"Content-Length: 3, 3", body=b"abc")),
    "an empty length": (400, post(b"Content-Length: ")),
    "a negative length": (400, post(b"Content-Length: -1")),
    "a length with a plus": (400, post(b"Content-Length: +3", body=b"abc")),
    "a length in hexadecimal": (400, post(b"Content-Length: 0x3", body=b"abc")),
    "a length with an underscore": (400, post(b"Content-Length: 1_0", body=b"abc")),
    "a length with a space": (400, post(b"Content-Length: 1 0", body=b"abc")),
    "a fractional length": (400, post(b"Content-Length: 3.0", body=b"abc")),
    "a length beyond 64 bits": (400, post(b"Content-Length: 18446744073709551616")),
    "an endless length": (400, post(b"Content-Length: " + b"9" * 1000)),
    "a transfer coding of its own": (400, post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n")),
    "identity": (400, post(b"Transfer-Encoding: identity")),
    "chunked, then another": (400, post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n")),
    "chunked twice": (400, post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n")),
    "two lines of chunked": (
        400,
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    ),
    "chunked and a line of identity": (
        400,
        post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    ),
    "gzip, chunked": (501, post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")),
    "chunked behind a vertical tab": (400, post(b"Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n")),
    "chunked in quotes": (400, post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n")),
    "an empty transfer coding": (400, post(b"Transfer-Encoding: ", body=b"0\r\n\r\n")),
    "a transfer coding with a space before the colon": (400, post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    "chunked with HTTP/1.0": (400, b"POST /e/bad HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    # Chunks.
    "a chunk size that is no number": (400, chunked(b"x\r\n")),
    "no chunk size": (400, chunked(b"\r\n")),
    "a negative chunk size": (400, chunked(b"-1\r\n")),
    "a chunk size with a prefix": (400, chunked(b"0x1\r\na\r\n0\r\n\r\n")),
    "a chunk size behind a space": (400, chunked(b" 1\r\na\r\n0\r\n\r\n")),
    "a chunk size before a space": (400, chunked(b"1 \r\na\r\n0\r\n\r\n")),
    "a chunk extension behind a space": (400, chunked(b"1 ;a=b\r\na\r\n0\r\n\r\n")),
    "a chunk extension behind a tab": (400, chunked(b"1\t;a=b\r\na\r\n0\r\n\r\n")),
    "a chunk extension with spaces": (400, chunked(b"1;a = b\r\na\r\n0\r\n\r\n")),
    "a chunk extension before a space": (400, chunked(b"1;a=b \r\na\r\n0\r\n\r\n")),
    "a chunk extension with a quoted line break": (400, chunked(b'1;a="\r\nb"\r\na\r\n0\r\n\r\n')),
    "a broken second chunk": (400, chunked(b"1\r\na\r\nzz\r\n")),
    "a transfer coding as a trailer": (400, chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n")),
    "a chunk size beyond 64 bits": (400, chunked(b"10000000000000001\r\na\r\n0\r\n\r\n")),
    "a chunk size with a bare LF": (400, chunked(b"1\na\r\n0\r\n\r\n")),
    "a chunk extension with a bare LF": (400, chunked(b"1;x\na\r\n0\r\n\r\n")),
    "a chunk extension with a bare CR": (400, chunked(b"1;x\rx\r\na\r\n0\r\n\r\n")),
    "a chunk that is too long": (400, chunked(b"1\r\nabc\r\n0\r\n\r\n")),
    "a chunk without its end": (400, chunked(b"1\r\na0\r\n\r\n")),
    "a chunk that ends with LF": (400, chunked(b"1\r\na\n0\r\n\r\n")),
    "a last chunk with LF": (400, chunked(b"0\n\n")),
    "a trailer without a colon": (400, chunked(b"0\r\nx\r\n\r\n")),
    "a trailer that is folded": (400, chunked(b"0\r\nA: b\r\n c\r\n\r\n")),
    "a length as a trailer": (400, chunked(b"0\r\nContent-Length: 3\r\n\r\n")),
    "an endless chunk extension": (431, chunked(b"1;" + b"x" * 6000)),
    "an endless chunk extension value": (431, chunked(b"1;x=" + b"x" * 6000)),
    "an endless row of chunks with long extensions": (431, chunked(b"1;%b\r\na\r\n" % (b"x" * 200) * 40)),
    "an endless chunk size of zeros": (431, chunked(b"0" * 6000)),
    "endless trailers": (431, chunked(b"0\r\n" + b"A: b\r\n" * 1500)),
    "an endless trailer": (431, chunked(b"0\r\nA: " + b"b" * 6000)),
    # Too much.
    "an endless header": (431, get()[:-2] + b"A: " + b"b" * 6000),
    "an endless header name": (431, get()[:-2] + b"a" * 6000),
    "endless headers": (431, get()[:-2] + b"A: b\r\n" * 1500),
    "an endless URL": (414, b"GET /" + b"a" * 6000),
    "an endless query": (414, b"GET /?" + b"a" * 6000),
    # Expectations and upgrades.
    "an unknown expectation": (417, post(b"Expect: 200-maybe", b"Content-Length: 3")),
    "a WebSocket handshake with a length": (
        400,
        get(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 3") + b"abc",
    ),
    "a WebSocket handshake with chunks": (
        400,
        get(b"Connection: upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("piece", [0, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused(site: Site, name: str, piece: int) -> None:
    """A malformed request gets one answer that says so, the connection ends, and what stands behind it is not read."""
    status, data = REFUSED[name]
    async with connected(site.port) as client:
        smuggled = b"" if name.startswith("an endless") else b"GET /e/bad/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        await client.send(data + smuggled, piece=piece)
        received = await client.rest()
    assert statuses(received) == [status]
    assert b"connection: close" in received
    assert b"Traceback" not in received
    assert not site.backend.paths("/e/bad/smuggled")


@pytest.mark.parametrize("name", [name for name in REFUSED if "chunk" in name or "trailer" in name])
async def test_nothing_is_sent_of_a_request_that_is_bad_from_the_start(site: Site, name: str) -> None:
    """A good head with a body that is seen to be broken in the same read never reaches the backend."""
    status, data = REFUSED[name]
    path = b"/e/broken-" + name.encode().hex().encode()
    async with connected(site.port) as client:
        await client.send(data.replace(b"/e/bad", path))
        assert statuses(await client.rest()) == [status]
    assert not [head for head in site.backend.heads if path.decode() in head]


@pytest.mark.parametrize("name", ["no Host", "both lengths", "two spaces before the target", "an end of bare LF"])
async def test_behind_a_good_request(site: Site, name: str) -> None:
    """A bad request that is pipelined behind a good one is refused after the good one has been answered."""
    status, data = REFUSED[name]
    async with connected(site.port) as client:
        await client.send(get(line=b"GET /e/first HTTP/1.1") + data)
        assert statuses(await client.rest()) == [200, status]


async def test_behind_a_head_request(site: Site) -> None:
    """A refusal is not mistaken for the answer to the request before it: it has a body, and a log line of its own."""
    async with connected(site.port) as client:
        await client.send(get(line=b"HEAD /e/before HTTP/1.1") + b"NONSENSE\r\n")
        assert (await client.answer("HEAD")).status == 200
        refusal = await client.answer()
    assert refusal.problem == "bad-request"
    request_id = refusal.headers[b"x-request-id"].decode()
    await eventually(lambda: request_id in site.gateway.access_log)
    (line,) = [line for line in site.gateway.access_log.splitlines() if request_id in line]
    assert "/e/before" not in line


async def test_tls_to_the_plain_port_is_named(site: Site) -> None:
    """In the log, as the client reads no plain answer."""
    context = ssl.create_default_context()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", site.port, ssl=context)
    said = "this is TLS, and the port speaks plain HTTP: use http://"
    await eventually(lambda: said in site.gateway.access_log)


def head_of_size(size: int) -> bytes:
    """A request whose header section is `size` bytes."""
    return get(b"Connection: close", b"A: " + b"b" * (size - len(b"Host: a\r\nConnection: close\r\nA: \r\n\r\n")))


def target_of_size(size: int) -> bytes:
    target = b"/e/" + b"a" * (size - 3)
    return get(b"Connection: close", line=b"GET " + target + b" HTTP/1.1")


def header_lines(count: int) -> bytes:
    return get(b"Connection: close", *[b"A: b"] * (count - 2))


@pytest.mark.parametrize("piece", [0, 1], ids=["whole", "bytes"])
@pytest.mark.parametrize(
    ("make", "limit", "status"), [(head_of_size, 4096, 431), (target_of_size, 512, 414), (header_lines, 20, 431)]
)
async def test_at_a_limit_and_over(site: Site, make: object, limit: int, status: int, piece: int) -> None:
    """What is exactly as large as a limit passes; one more is refused."""
    assert callable(make)
    for size, expected in ((limit, 200), (limit + 1, status)):
        async with connected(site.port) as client:
            await client.send(make(size), piece=piece)
            assert statuses(await client.rest()) == [expected]


@pytest.mark.parametrize("size", [8 * 1024, 60 * 1024, 200 * 1024])
@pytest.mark.parametrize(("make", "status"), [(head_of_size, 431), (target_of_size, 414)])
async def test_who_sent_far_too_much_gets_the_answer(site: Site, make: object, status: int, size: int) -> None:
    """A client that sends all of a head that is far too large before it reads gets its refusal, and an orderly end."""
    assert callable(make)

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", site.port), 10) as client:
            client.sendall(make(size))
            return b"".join(iter(lambda: client.recv(65536), b""))

    answer = await asyncio.to_thread(ask)
    assert statuses(answer) == [status]
    assert answer.endswith(b"}")


async def test_who_never_stops_is_cut_off(site: Site) -> None:
    """Of a head that goes on and on after it was refused, only a little is read."""
    async with connected(site.port) as client:
        piece = b"GET / HTTP/1.1\r\nA: " + b"b" * 64 * 1024
        with pytest.raises(ConnectionError):
            await client.send(piece * 1000)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n" + get(b"Connection: close", line=b"GET /e/fine HTTP/1.1"),
        get(b"Connection: close", line=b"GET http://A:80/e/fine HTTP/1.1"),
        b"GET http://a/e/fine HTTP/1.1\r\nHost: a:80\r\nConnection: close" + END,
        get(b"Connection: close", line=b"GET http://a:/e/fine HTTP/1.1"),
        b"GET /e/fine HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close" + END,
        b"GET http://a/e/fine HTTP/1.0" + END,
        b"GET /e/fine HTTP/1.0" + END,
        get(b"Connection: close", b"Empty:", b"Blank: \t ", b"Latin: \xe9", line=b"GET /e/fine HTTP/1.1"),
        get(b"connection:close", b"Content-Length: 0003", line=b"PUT /e/fine HTTP/1.1") + b"abc",
        get(b"Connection: close", b"transfer-encoding:CHUNKED", line=b"PUT /e/fine HTTP/1.1")
        + b'00003;a=b;c="d"\r\nabc\r\n000\r\nX: y\r\n\r\n',
        get(b"Connection: close", line=b"GET /e/fine?a=b?c/../%2e&d=[{|}] HTTP/1.1"),
        get(b"Connection: close", line=b"PROPFIND /e/fine HTTP/1.1"),
    ],
)
async def test_what_is_unusual_but_valid_passes(site: Site, data: bytes) -> None:
    """What the RFCs allow, however odd, reaches the backend."""
    async with connected(site.port) as client:
        await client.send(data)
        assert statuses(await client.rest()) == [200]


async def test_the_asterisk(site: Site) -> None:
    """`OPTIONS *` asks the gateway itself."""
    async with connected(site.port) as client:
        await client.send(get(line=b"OPTIONS * HTTP/1.1"))
        assert (await client.answer()).status == 204


async def test_plain_text_for_who_asks(site: Site) -> None:
    """A refused request whose Accept header has come already gets its answer as plain text."""
    async with connected(site.port) as client:
        await client.send(get(b"Accept: text/plain", b"Host: b"))
        answer = await client.answer()
    assert answer.headers[b"content-type"].startswith(b"text/plain")
    assert b"more than one Host" in answer.body
