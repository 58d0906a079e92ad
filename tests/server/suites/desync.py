"""The cases of the http-desync-guardian corpus: requests that parsers are known to take in different ways.

The corpus calls 58 of them severe and 60 ambiguous (57 in some versions). Each is written here as the bytes that a
client sends, with the `Host` that HTTP/1.1 asks for, so that nothing but the fault itself is a reason to refuse it.
"""

from collections.abc import Iterator

BROWSER = (
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    b"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    b"Accept-Language: en-US,en;q=0.5",
    b"Accept-Encoding: gzip, deflate",
    b"Upgrade-Insecure-Requests: 1",
)

TE = b"Transfer-Encoding: chunked"
CL = b"Content-Length: 4"


def request(*lines: bytes, line: bytes = b"POST /foo/bar HTTP/1.1", body: bytes = b"") -> bytes:
    """A request with a valid `Host` in front of these header lines."""
    return b"\r\n".join([line, b"Host: localhost", *lines]) + b"\r\n\r\n" + body


def get(target: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return request(b"X-Forwarded-For: 1.1.1.1", line=b"GET %b %b" % (target, version))


def browser(*lines: bytes, line: bytes = b"POST /test.html HTTP/1.1") -> bytes:
    return request(*BROWSER, *lines, line=line)


SEVERE_HEADERS: list[tuple[bytes, ...]] = [
    # Lengths and codings that contradict each other or themselves.
    (b"Content-Length: 1000", b"Content-Length: 100"),
    (b"Content-Length: 1000,1000",),
    (b"Content-Length: 1000 1000",),
    (b"Content-Length: 1000.1000",),
    (b"Content-Length: 18446744073709551616",),
    (b"Content-Length: 1000\x11",),
    (b"Content-Length: \x011000",),
    (b"Content-Length: 1000\x01",),
    (b"Content-Length: 1000\xc2\xa0",),
    (b"Content-Length : 100", b"Content-Length: 1000"),
    (b" Content-Length: 100", b"Content-Length: 1000"),
    (b"Transfer-Encoding: xchunked",),
    (b"Transfer-Encoding: chunked\x11",),
    (b"Transfer-Encoding: \x01chunked",),
    (b"Transfer-Encoding: chunked\x01",),
    (b"Transfer-Encoding: \xc2\xa0chunked",),
    (b"Transfer-Encoding: chunked\xc2\xa0",),
    (b"Transfer-Encoding: chunked,chunked",),
    (TE, TE),
    (b"Transfer-Encoding : chunked", TE),
    # Header lines that hide others.
    (CL, b"Some-Header: of several lines\r\n are \n of old. It may hold \n " + TE + b"\r\n"),
    (CL, b"Some-Header: of several lines\n are \n of old. It may hold \n " + TE),
    (CL, b"Some-Header: A CR\r is no\r end."),
    (CL, b"Some-Header: An LF\n is no\n end."),
    (b"Some-Header\r: 1000",),
    (b"Some-Header\n: Content-Length:1000\r\n " + TE, CL),
    (b"Some-Header\x00: 1000",),
    (b"Some-Header: value\rcontent-length: 1000", CL),
    (b"Some-Header: value\n content-length: 1000", CL),
    (b"Some-Header: value\x00content-length: 1000", CL),
    (b"\x00Some-Header: value", CL),
    (b"Some-Header: \x00value", CL),
    (b"Some-Header: value\x00", CL),
    # Two faults at once.
    (b"Some-Header: odd\x12", b"Content-Length: 1000\x11"),
    (b"Some-Header: odd\x11", b"Transfer-Encoding: chunked\x7f"),
    (b"Some-Header\t: \x11\x12 and then \x00", b"Transfer-Encoding\t: chunked"),
    (b"Some-Header: \x11odd", b"Transfer-Encoding: chunked\xc2\x80", b"Content-Length: $9000"),
]

SEVERE_OF_BROWSERS: list[tuple[bytes, ...]] = [
    (TE, TE, CL),
    (b"Bad-Accept-Encoding: gzip, \x00deflate", TE, CL),
    (CL, b"\x00" + TE),
    (CL, b"X-test: x\r" + TE),
    (b"\r" + TE, CL),
    (b"\r" + TE,),
    (b"\rContent-Length: 1000", CL),
    (b"Transfer-Encoding: chunk", CL),
    (b"Transfer-Encoding: xchunked", CL),
    (b"Transfer-Encoding: chunked,chunked", CL),
    (TE, b"Transfer-Encoding: cow", CL),
    (b"Content-Length: 6", b"\x00" + TE),
    (b"Transfer-Encoding: \x00chunked", b"Content-Length: 6"),
]

AMBIGUOUS_HEADERS: list[tuple[bytes, ...]] = [
    (b"Some-Header: odd", b"\x01Transfer-Encoding: chunked"),
    (b"Some-Header: odd", b"\x01Content-Length: 1000"),
    (b"Content-Length: 1000", b"Content-Length: 1000"),
    (TE, b"Content-Length: 100"),
    (b"Transfer-Encoding: gzip", b"Content-Length: 100"),
    (b"Transfer-Encoding : chunked", CL),
    (b" Transfer-Encoding: chunked", CL),
    (b" Transfer-Encoding: chunked", b" Content-Length: 4"),
    (b"Transfer-Encoding : chunked", b"Content-Length : 4"),
    (b": chunked", CL),
    (b":SomeHeader:Transfer-Encoding:: chunked", CL),
    (b"   \t\t  : chunked", CL),
]

AMBIGUOUS_OF_BROWSERS: list[tuple[bytes, ...]] = [
    (b"Content-Length: 5", b"Content-Length: 5"),
    (CL, TE),
    (b"Transfer-Encoding\t: chunked", CL),
    (b"Transfer-Encoding: deflate", CL),
    (b"Transfer-Encoding: gzip", b"Transfer-Encoding: identity", TE, CL),
    (b"Transfer-Encoding: \t\t\t\tchunked;parameter;\t\t\t\t", CL),
    (b"TrAnSfEr-EnCoDiNg: ChUnKeD", CL),
    (b"TrAnSfEr-EnCoDiNg: ChUnKeD", b"Content-Length: 6"),
]


def _severe() -> Iterator[tuple[str, bytes]]:
    yield from ((f"headers {number}", request(*lines)) for number, lines in enumerate(SEVERE_HEADERS))
    yield from ((f"browser {number}", browser(*lines)) for number, lines in enumerate(SEVERE_OF_BROWSERS))
    yield "method", request(line=b"bad_method\x01 /foo/bar HTTP/1.1")
    yield (
        "target and headers",
        request(
            b"Some-Header: \x11odd",
            b"Transfer-Encoding: chunked\xc2\x80",
            b"Content-Length: $9000",
            line=b"POST /foo/bar\t/baz HTTP/1.1",
        ),
    )
    yield "two versions", get(b"/endpoint_a", b"HTTP/1.1 HTTP/1.1")
    yield "CR in the target", get(b"/endpoint_a\rHTTP/1.1")
    yield "LF in the target", get(b"/endpoint_a\nHTTP/1.1")
    yield "a request in the target", get(b"/endpoint_a\tHTTP/1.1\r\nHost:localhost\r\n\r\nGET\t/endpoint_b\t")
    yield "NUL in the target", get(b"/endpoint_a\x00HTTP/1.1")
    yield "NUL before the target", get(b"\x00/endpoint_aHTTP/1.1")


def _ambiguous() -> Iterator[tuple[str, bytes]]:
    for name in (
        b"Transfer-Encoding ",
        b"Transfer-Encoding\t",
        b"\x01Transfer-Encoding",
        b"\x01\x01Transfer-Encoding",
        b"Transfer-Encoding\x01",
        b"Transfer- Encoding",
        b"Transfer-Encoding x",
        b"transfer-encoding XY",
        b"Transfer-Encoding \x01",
        b"Tran\xc5\xbffer-Encoding",
        b"Transfer-Encod\xc4\xb1ng",
        b"\xe2\x80\x83Transfer-Encoding",
        b"Transfer\xe2\x80\x95Encoding",
        b"Transfer-Encoding\xc2\x88",
    ):
        yield f"{name!r} for Transfer-Encoding", request(name + b": chunked")
    for name in (
        b"\x01Content-Length",
        b"\x01\x01Content-Length",
        b"Content-Length\x01",
        b"Content-Length\xe2\x80\x83",
        b"\xc2\xa0Content-Length",
    ):
        yield f"{name!r} for Content-Length", request(name + b": 1000")
    yield from ((f"headers {number}", request(*lines)) for number, lines in enumerate(AMBIGUOUS_HEADERS))
    yield from ((f"browser {number}", browser(*lines)) for number, lines in enumerate(AMBIGUOUS_OF_BROWSERS))
    yield "a coding in HTTP/1.0", request(TE, line=b"POST /foo/bar HTTP/1.0")
    yield "a browser's coding in HTTP/1.0", browser(TE, line=b"POST /test.html HTTP/1.0")
    for version in (b"HTTP/0.9", b""):
        for line in (TE, b"Content-Length: 100"):
            yield f"{line!r} in {version!r}", request(line, line=b"POST /foo/bar " + version)
    yield "GET with an odd header", request(b"A: \x01", TE, line=b"GET /foo/bar HTTP/1.1")
    yield "HEAD with an odd header", request(b"A: \x01", b"Content-Length: 9000", line=b"HEAD /foo/bar HTTP/1.1")
    yield "a tab in the target of GET", request(b"A: \x01", CL, line=b"GET /foo/bar\t/baz HTTP/1.1")
    yield "a tab in the target", get(b"/endpoint_a\tHTTP/1.1")
    yield "a control character in the target", get(b"/endpoint_a\x01HTTP/1.1")


SEVERE = dict(_severe())

# What the corpus calls ambiguous and the gateway refuses as well.
AMBIGUOUS = dict(_ambiguous())

# What it calls ambiguous, and what passes (docs/http-conformance.md says why), with the body that the backend reads.
AMBIGUOUS_AND_PASSED = {
    "GET with a length": (request(CL, line=b"GET /foo/bar HTTP/1.1", body=b"abcd"), b"abcd"),
    "GET with chunks": (request(TE, line=b"GET /foo/bar HTTP/1.1", body=b"4\r\nabcd\r\n0\r\n\r\n"), b"abcd"),
    "HEAD with a length": (request(CL, line=b"HEAD /foo/bar HTTP/1.1", body=b"abcd"), b"abcd"),
    "HEAD with chunks": (request(TE, line=b"HEAD /foo/bar HTTP/1.1", body=b"4\r\nabcd\r\n0\r\n\r\n"), b"abcd"),
    "a browser's GET with a length": (browser(CL, line=b"GET /test.html HTTP/1.1") + b"abcd", b"abcd"),
    "a browser's GET with chunks": (browser(TE, line=b"GET /test.html HTTP/1.1") + b"0\r\n\r\n", b""),
    "Transfer_Encoding": (request(b"Transfer_Encoding: chunked"), b""),
    "Content_Length": (request(b"Content_Length: 1000"), b""),
    "Transfer___Encoding": (request(b"Transfer___Encoding: chunked"), b""),
    "Transfer---Encoding": (request(b"Transfer---Encoding: chunked"), b""),
}

# What it calls compliant or acceptable, and what therefore reaches the backend.
COMPLIANT = {
    "no headers": get(b"/foo/bar"),
    "a length with white space": request(b"Content-Length:  4  ", body=b"abcd"),
    "a length of 0 with GET": request(b"Content-Length: 0", line=b"GET /foo/bar HTTP/1.1"),
    "a length of 0 with HEAD": request(b"Content-Length: 0", line=b"HEAD /foo/bar HTTP/1.1"),
    "obs-text": request(b"My-Header: \t\t\tvalue;\x60\xc2\x85\xc2\x93\xc2\xa0"),
    "every tchar": request(b"My-Header!#$%&'*+^`|~0123456789: value"),
    "a coding in a value": request(b"X-test: Transfer-Encoding: chunked"),
    "odd percent-encoding in the query": request(b"Content-Length: 0", line=b"POST /test.html?a=b&%dd=%ee HTTP/1.1"),
    "an encoded space": get(b"/path-%20-uri"),
}
