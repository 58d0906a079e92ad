import asyncio
import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import Exchange, Handler, Response
from gateway.http.bodies import Headers
from gateway.http.encoding import Choice, choose
from gateway.http.testing import Pieces, make_exchange
from gateway.middleware.compression import SLICE, compressed_body
from gateway.middleware.compressors import COMPRESSORS

from .support import answering, chain, header

TEXT = b"the quick brown fox jumps over the lazy dog. " * 100
JSON = (b"content-type", b"application/json")
ALL = "compression: {encodings: [zstd, br, gzip]}"


def decoder(encoding: str) -> Callable[[bytes], bytes]:
    """What a client reads of the bytes so far."""
    if encoding == "gzip":
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
    if encoding == "br":
        return brotli.Decompressor().process  # type: ignore[no-any-return]
    return zstandard.ZstdDecompressor().decompressobj().decompress


def backend(headers: Headers, body: bytes | list[bytes] = TEXT, status: int = 200) -> Handler:
    """A backend that answers so."""
    return answering(lambda: Response(status, list(headers), body if isinstance(body, bytes) else Pieces(body)))


def asking(accept: str | None = "gzip", method: str = "GET", **headers: str) -> Exchange:
    given = {} if accept is None else {"Accept-Encoding": accept}
    return make_exchange(method, headers=[*given.items(), *headers.items()])


@pytest.mark.parametrize(
    ("accept", "choice"),
    [
        ("gzip", Choice("gzip")),
        ("x-gzip", Choice("gzip")),
        ("gzip, br, zstd", Choice("zstd")),
        ("gzip;q=1.0, br;q=0.9", Choice("gzip")),
        ("GZIP;Q=0.5", Choice("gzip")),
        ("gzip;q=0", Choice(None)),
        ("gzip;q=0, *", Choice("zstd")),
        ("*", Choice("zstd")),
        ("*;q=0", Choice(None)),
        ("*;q=0, gzip", Choice("gzip", required=True)),
        ("identity;q=0, gzip", Choice("gzip", required=True)),
        ("identity;q=0", Choice(None)),
        ("identity, gzip;q=0.5", Choice(None)),
        ("identity;q=0.5, gzip", Choice("gzip")),
        ("deflate", Choice(None)),
        ("", Choice(None)),
        ("gzip;q=abc", Choice(None)),
        ("gzip;q=1.5", Choice(None)),
        ("gzip;level=3", Choice(None)),
        (",, ;q=1,gzip", Choice("gzip")),
    ],
)
def test_the_client_chooses_by_weights(accept: str, choice: Choice) -> None:
    """RFC 9110, 12.5.3: weights, the star, and identity; what cannot be read is a refusal."""
    assert choose(accept, ("zstd", "br", "gzip")) == choice


@given(st.text())
def test_no_accept_encoding_is_a_failure(accept: str) -> None:
    """Whatever a client writes, there is a choice."""
    assert choose(accept, ("gzip",)).encoding in (None, "gzip")


@pytest.mark.parametrize("encoding", COMPRESSORS)
async def test_a_response_is_compressed(encoding: str) -> None:
    """The client reads the same content in fewer bytes; headers that were about the other bytes are adapted."""
    headers = [JSON, (b"content-length", b"4500"), (b"etag", b'"v1"'), (b"accept-ranges", b"bytes")]
    response = await chain(ALL, backend(headers))(asking(encoding))
    assert isinstance(response.body, bytes)
    assert decoder(encoding)(response.body) == TEXT
    assert dict(response.headers) == {
        b"content-type": b"application/json",
        b"etag": b'W/"v1"',
        b"vary": b"Accept-Encoding",
        b"content-encoding": encoding.encode(),
        b"content-length": b"%d" % len(response.body),
    }
    assert len(response.body) < len(TEXT) / 5


@pytest.mark.parametrize("encoding", COMPRESSORS)
@given(pieces=st.lists(st.binary(max_size=100), max_size=20), big=st.integers(0, 4))
def test_what_comes_out_is_what_went_in(encoding: str, pieces: list[bytes], big: int) -> None:
    """Whatever the pieces, large or small, a client decodes the same bytes."""
    pieces = [*pieces, TEXT * big * 4]

    async def carried() -> bytes:
        body = compressed_body(Pieces(pieces), COMPRESSORS[encoding]())
        made = b""
        while piece := await body.read():
            made += piece
        return made

    assert decoder(encoding)(asyncio.run(carried())) == b"".join(pieces)


@pytest.mark.parametrize("encoding", COMPRESSORS)
async def test_each_piece_of_a_stream_can_be_read_at_once(encoding: str) -> None:
    """A client has everything that the backend has sent so far: nothing waits inside the compressor."""
    response = await chain(ALL, backend([JSON], [b'{"a":1}\n', b'{"a":2}\n', b"x" * 50_000]))(asking(encoding))
    assert not isinstance(response.body, bytes)
    read = decoder(encoding)
    assert read(await response.body.read()) == b'{"a":1}\n'
    assert read(await response.body.read()) == b'{"a":2}\n'
    assert read(await response.body.read()) == b"x" * 50_000
    while end := await response.body.read():
        assert read(end) == b""
    assert not header(response, b"content-length")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([JSON, (b"content-encoding", b"br")], 200),
        ([JSON, (b"content-encoding", b"identity")], 200),
        ([JSON, (b"cache-control", b"public, no-transform")], 200),
        ([JSON, (b"content-digest", b"sha-256=:x:")], 200),
        ([(b"content-type", b"text/event-stream; charset=utf-8")], 200),
        ([(b"content-type", b"image/png")], 200),
        ([], 200),
        ([JSON, (b"content-range", b"bytes 0-9/100"), (b"etag", b'"v1"')], 206),
        ([(b"content-type", b"image/png"), (b"content-range", b"bytes 0-9/5000"), (b"etag", b'"v1"')], 206),
        ([(b"content-type", b"image/png"), (b"etag", b'"v1"')], 304),
        ([JSON, (b"content-encoding", b"br"), (b"etag", b'"v1"')], 304),
    ],
)
async def test_what_must_stay_as_it_is_stays(headers: Headers, status: int) -> None:
    """Encoded already, no-transform, event streams, what does not shrink; and what stands for one of these."""
    response = await chain(ALL, backend(headers, status=status))(asking())
    assert (response.headers, response.body) == (headers, TEXT)


async def test_a_client_can_forbid_transformations() -> None:
    """RFC 9111, 5.2.1.6."""
    response = await chain(ALL, backend([JSON]))(asking(**{"Cache-Control": "no-transform"}))
    assert response.body == TEXT


@pytest.mark.parametrize("accept", [None, "identity"])
@pytest.mark.parametrize(("method", "body"), [("GET", TEXT), ("HEAD", b"")])
async def test_caches_learn_that_the_response_depends_on_what_is_accepted(
    accept: str | None, method: str, body: bytes
) -> None:
    """Also where this client gets it as it is."""
    headers = [JSON, (b"content-length", b"4500"), (b"vary", b"Origin")]
    response = await chain(ALL, backend(headers, body))(asking(accept, method))
    assert response.body == body
    assert header(response, b"content-length") == [b"4500"]
    assert header(response, b"vary") == [b"Origin", b"Accept-Encoding"]


@pytest.mark.parametrize("length", [[], [(b"content-length", b"4500")]])
async def test_head_has_the_headers_of_get(length: Headers) -> None:
    """But the length, which is not known before it is compressed (RFC 9110, 8.6)."""
    headers = [JSON, (b"etag", b'"v1"'), (b"accept-ranges", b"bytes"), *length]
    serve = chain(ALL, backend(headers, b""))
    expected = [JSON, (b"etag", b'W/"v1"'), (b"vary", b"Accept-Encoding"), (b"content-encoding", b"gzip")]
    assert (await serve(asking(method="HEAD"))).headers == expected
    got = dict((await chain(ALL, backend(headers))(asking())).headers)
    del got[b"content-length"]
    assert got == dict(expected)


async def test_head_of_what_is_too_small_keeps_its_length() -> None:
    """It is not compressed for GET either."""
    headers = [JSON, (b"content-length", b"10"), (b"etag", b'"v1"')]
    assert (await chain(ALL, backend(headers, b""))(asking(method="HEAD"))).headers == headers


PART = (b"content-range", b"bytes 0-9/4500")


@pytest.mark.parametrize("conditions", [{}, {"If-None-Match": 'W/"v1"'}, {"If-None-Match": '"v1"'}])
@pytest.mark.parametrize(
    ("status", "headers"), [(304, [JSON]), (304, [JSON, (b"content-length", b"4500")]), (206, [JSON, PART])]
)
async def test_304_and_206_have_the_validators_of_the_200(
    status: int, headers: Headers, conditions: dict[str, str]
) -> None:
    """So that a cache finds the response that they are about (RFC 9110, 15.3.7 and 15.4.5)."""
    response = await chain(ALL, backend([*headers, (b"etag", b'"v1"')], b"", status))(asking(**conditions))
    assert header(response, b"etag") == [b'W/"v1"']
    assert header(response, b"vary") == [b"Accept-Encoding"]
    assert not header(response, b"content-length")
    assert not header(response, b"content-encoding")


@pytest.mark.parametrize(
    ("condition", "etag"),
    [
        ('W/"v1"', b'W/"v1"'),
        ('"v0", W/"v1"', b'W/"v1"'),
        ('"v1", W/"v1"', b'W/"v1"'),
        ('"v1"', b'"v1"'),
        ('"v0","v1"', b'"v1"'),
        ("*", b'W/"v1"'),
    ],
)
async def test_a_304_without_a_type_is_about_what_the_client_has(condition: str, etag: bytes) -> None:
    """Its stored response is the compressed one or not, and so is the validator."""
    response = await chain(ALL, backend([(b"etag", b'"v1"')], b"", 304))(asking(**{"If-None-Match": condition}))
    assert (header(response, b"etag"), header(response, b"vary")) == ([etag], [b"Accept-Encoding"])


async def test_a_client_that_takes_no_coding_can_use_ranges() -> None:
    """Its ETag stays strong, and If-Range works."""
    for status, headers in ((206, [JSON, PART]), (304, [])):
        response = await chain(ALL, backend([*headers, (b"etag", b'"v1"')], b"", status))(asking(None))
        assert header(response, b"etag") == [b'"v1"']
        assert header(response, b"vary") == [b"Accept-Encoding"]


async def test_small_responses_are_not_worth_it() -> None:
    """Unless the client takes nothing else."""
    small = backend([JSON], b"x" * 1023)
    assert (await chain(ALL, small)(asking())).body == b"x" * 1023
    forced = await chain(ALL, small)(asking("identity;q=0, gzip"))
    assert isinstance(forced.body, bytes)
    assert gzip.decompress(forced.body) == b"x" * 1023
    streamed = await chain(ALL, backend([JSON, (b"content-length", b"10")], [b"x" * 10]))(asking())
    assert not header(streamed, b"content-encoding")


async def test_nothing_is_compressed_unless_it_is_asked_for() -> None:
    """The default is off, and a route can be left out."""
    for text in ("compression:", "compression: {encodings: [gzip], routes: [other-*]}"):
        assert (await chain(text, backend([JSON]))(asking())).body == TEXT


async def test_large_pieces_leave_the_event_loop_to_others() -> None:
    """A body of many megabytes is compressed in turns."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await chain(ALL, backend([JSON], b"x" * (50 * SLICE)))(asking())
    beside.cancel()
    assert turns >= 49


async def test_a_body_that_is_given_up_gives_up_the_backends() -> None:
    """Nothing goes on for a client that went away."""
    inner = Pieces([TEXT])
    body = compressed_body(inner, COMPRESSORS["gzip"]())
    body.close()
    assert inner.closed
