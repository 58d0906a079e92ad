"""The cases of Http11Probe by their names there, and of h1spec: what each sends, and what the gateway does with it."""

from tests.server.suites.garden import CHUNKED, get, sized

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
EMBEDDED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: "


def line(line: bytes) -> bytes:
    return line + b"\r\nHost: a\r\n\r\n"


def post(lines: bytes, body: bytes = b"hello") -> bytes:
    return POST + lines + b"\r\n\r\n" + body


def both(coding: bytes, length: bytes = b"%d", embedded: bytes = EMBEDDED) -> bytes:
    """A request within the body of one that has a coding and a length."""
    body = b"0\r\n\r\n" + embedded
    return post(coding + b"\r\nContent-Length: " + length.replace(b"%d", b"%d" % len(body)), body)


# Refused with one of these, the connection closed: what the suite asks for, or the better of what it allows.
REFUSED = {
    # Compliance.
    "RFC9112-2.2-BARE-LF-REQUEST-LINE": (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "RFC9112-2.2-BARE-LF-HEADER": (400, b"GET / HTTP/1.1\r\nHost: a\nX-Test: value\r\n\r\n"),
    "RFC9112-5.1-OBS-FOLD": (400, get(b"X-Test: value\r\n continued")),
    "RFC9110-5.6.2-SP-BEFORE-COLON": (400, get(b"X-Test : value")),
    "RFC9112-3-MULTI-SP-REQUEST-LINE": (400, line(b"GET  / HTTP/1.1")),
    "RFC9112-7.1-MISSING-HOST": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "RFC9112-2.3-INVALID-VERSION": (505, line(b"GET / HTTP/9.9")),
    "RFC9112-5-EMPTY-HEADER-NAME": (400, get(b": empty-name")),
    "RFC9112-3-CR-ONLY-LINE-ENDING": (400, b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    "RFC9112-3-MISSING-TARGET": (400, line(b"GET HTTP/1.1")),
    "RFC9112-3.2-FRAGMENT-IN-TARGET": (400, line(b"GET /path#frag HTTP/1.1")),
    "RFC9112-2.3-HTTP09-REQUEST": (400, b"GET /\r\n"),
    "RFC9112-5-INVALID-HEADER-NAME": (400, get(b"Bad[Name: value")),
    "RFC9112-5-HEADER-NO-COLON": (400, get(b"NoColonHere")),
    "RFC9110-5.4-DUPLICATE-HOST": (400, get(b"Host: other.example.com")),
    "RFC9112-6.1-CL-NON-NUMERIC": (400, post(b"Content-Length: abc", b"")),
    "RFC9112-6.1-CL-PLUS-SIGN": (400, post(b"Content-Length: +5")),
    "COMP-WHITESPACE-BEFORE-HEADERS": (400, b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n"),
    "COMP-DUPLICATE-HOST-SAME": (400, get(b"Host: a")),
    "COMP-HOST-WITH-USERINFO": (400, b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n"),
    "COMP-HOST-WITH-PATH": (400, b"GET / HTTP/1.1\r\nHost: a/path\r\n\r\n"),
    "COMP-HOST-EMPTY-VALUE": (400, b"GET / HTTP/1.1\r\nHost: \r\n\r\n"),
    "COMP-ASTERISK-WITH-GET": (400, line(b"GET * HTTP/1.1")),
    "COMP-UNKNOWN-TE-501": (400, post(b"Transfer-Encoding: gzip", b"")),
    "COMP-METHOD-CASE": (501, line(b"get / HTTP/1.1")),
    "COMP-UNKNOWN-METHOD": (501, line(b"FOOBAR / HTTP/1.1")),
    "COMP-METHOD-CONNECT": (501, b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"),
    "COMP-METHOD-TRACE": (501, line(b"TRACE / HTTP/1.1")),
    "COMP-TRACE-WITH-BODY": (501, b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
    "COMP-TRACE-SENSITIVE": (501, b"TRACE / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\n\r\n"),
    "COMP-EXPECT-UNKNOWN": (417, get(b"Expect: 200-ok")),
    "COMP-REQUEST-LINE-TAB": (400, line(b"GET\t/ HTTP/1.1")),
    "COMP-VERSION-MISSING-MINOR": (400, line(b"GET / HTTP/1")),
    "COMP-VERSION-LEADING-ZEROS": (400, line(b"GET / HTTP/01.01")),
    "COMP-VERSION-WHITESPACE": (400, line(b"GET / HTTP/ 1.1")),
    "COMP-VERSION-CASE": (400, line(b"GET / http/1.1")),
    "COMP-HTTP12-VERSION": (505, line(b"GET / HTTP/1.2")),
    "COMP-SPACE-IN-TARGET": (400, line(b"GET /pa th HTTP/1.1")),
    "COMP-UPGRADE-INVALID-VER": (426, get(b"Connection: Upgrade\r\n" + UPGRADE + b"99")),
    # Smuggling.
    "SMUG-CL-TE-BOTH": (
        400,
        post(b"Content-Length: 23\r\nTransfer-Encoding: chunked", b"D\r\nhello-bananas\r\n0\r\n\r\n"),
    ),
    "SMUG-DUPLICATE-CL": (400, post(b"Content-Length: 5\r\nContent-Length: 10", b"helloworld")),
    "SMUG-TE-XCHUNKED": (400, post(b"Transfer-Encoding: xchunked\r\nContent-Length: 5")),
    "SMUG-TE-TRAILING-SPACE": (400, post(b"Transfer-Encoding: chunked \r\nContent-Length: 5")),
    "SMUG-TE-SP-BEFORE-COLON": (400, post(b"Transfer-Encoding : chunked\r\nContent-Length: 5")),
    "SMUG-CL-NEGATIVE": (400, post(b"Content-Length: -1", b"")),
    "SMUG-CLTE-PIPELINE": (400, post(b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"0\r\n\r\n")),
    "SMUG-TECL-PIPELINE": (400, post(b"Transfer-Encoding: chunked\r\nContent-Length: 30", b"0\r\n\r\n")),
    "SMUG-TE-DOUBLE-CHUNKED": (400, post(b"Transfer-Encoding: chunked, chunked\r\nContent-Length: 5")),
    "SMUG-TE-CASE-MISMATCH": (400, post(b"Transfer-Encoding: Chunked\r\nContent-Length: 5")),
    "SMUG-CL-COMMA-DIFFERENT": (400, post(b"Content-Length: 5, 10")),
    "SMUG-CL-COMMA-SAME": (400, post(b"Content-Length: 5, 5")),
    "SMUG-CL-COMMA-TRIPLE": (400, post(b"Content-Length: 5, 5, 5")),
    "SMUG-TE-NOT-FINAL-CHUNKED": (400, post(b"Transfer-Encoding: chunked, gzip", b"0\r\n\r\n")),
    "SMUG-TE-HTTP10": (
        400,
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
    ),
    "SMUG-CHUNK-BARE-SEMICOLON": (400, CHUNKED + b"5;\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-EXT-INVALID-TOKEN": (400, CHUNKED + b"5;bad[=x\r\nhello\r\n0\r\n\r\n"),
    "SMUG-BARE-CR-HEADER-VALUE": (400, post(b"Content-Length: 5\r\nX-Test: val\rue")),
    "SMUG-CL-OCTAL": (400, post(b"Content-Length: 0o5")),
    "SMUG-CHUNK-UNDERSCORE": (400, CHUNKED + b"1_0\r\nhello world!!!!!\r\n0\r\n\r\n"),
    "SMUG-TE-EMPTY-VALUE": (400, post(b"Transfer-Encoding: \r\nContent-Length: 5")),
    "SMUG-TE-LEADING-COMMA": (400, post(b"Transfer-Encoding: , chunked\r\nContent-Length: 5")),
    "SMUG-TE-DUPLICATE-HEADERS": (
        400,
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 5"),
    ),
    "SMUG-CHUNK-HEX-PREFIX": (400, CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-SIZE-PLUS": (400, CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-SIZE-TRAILING-OWS": (400, CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    "SMUG-CL-HEX-PREFIX": (400, post(b"Content-Length: 0x5")),
    "SMUG-CL-INTERNAL-SPACE": (400, post(b"Content-Length: 1 0", b"hello12345")),
    "SMUG-CHUNK-LEADING-SP": (400, CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-MISSING-TRAILING-CRLF": (400, CHUNKED + b"5\r\nhello0\r\n\r\n"),
    "SMUG-CHUNK-EXT-LF": (400, CHUNKED + b"5;\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-SPILL": (400, CHUNKED + b"5\r\nhello!!\r\n0\r\n\r\n"),
    "SMUG-CHUNK-LF-TERM": (400, CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    "SMUG-CHUNK-EXT-CTRL": (400, CHUNKED + b"5;\x00ext\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNK-EXT-CR": (400, CHUNKED + b"5;a\rX\r\nhello\r\n0\r\n\r\n"),
    "SMUG-TE-VTAB": (400, post(b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5")),
    "SMUG-TE-FORMFEED": (400, post(b"Transfer-Encoding: \x0cchunked\r\nContent-Length: 5")),
    "SMUG-TE-NULL": (400, post(b"Transfer-Encoding: chunked\x00\r\nContent-Length: 5")),
    "SMUG-CHUNK-LF-TRAILER": (400, CHUNKED + b"5\r\nhello\r\n0\r\n\n"),
    "SMUG-TE-IDENTITY": (400, post(b"Transfer-Encoding: identity\r\nContent-Length: 5")),
    "SMUG-CHUNK-NEGATIVE": (400, CHUNKED + b"-1\r\nhello\r\n0\r\n\r\n"),
    "SMUG-CHUNKED-WITH-PARAMS": (400, post(b"Transfer-Encoding: chunked;ext=val\r\nContent-Length: 5")),
    "SMUG-TRAILER-CL": (400, CHUNKED + b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n"),
    "SMUG-TRAILER-TE": (400, CHUNKED + b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "SMUG-CL-UNDERSCORE": (400, post(b"Content-Length: 1_0", b"helloworld")),
    "SMUG-CL-NEGATIVE-ZERO": (400, post(b"Content-Length: -0", b"")),
    "SMUG-TE-OBS-FOLD": (400, post(b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5")),
    "SMUG-TE-TRAILING-COMMA": (400, post(b"Transfer-Encoding: chunked,\r\nContent-Length: 5")),
    "SMUG-TE-TAB-BEFORE-VALUE": (400, post(b"Transfer-Encoding:\tchunked\r\nContent-Length: 5")),
    "SMUG-ABSOLUTE-URI-HOST-MISMATCH": (400, line(b"GET http://other.example.com/ HTTP/1.1")),
    "SMUG-MULTIPLE-HOST-COMMA": (400, b"GET / HTTP/1.1\r\nHost: a, other.example.com\r\n\r\n"),
    "SMUG-CHUNK-BARE-CR-TERM": (400, CHUNKED + b"5\rhello\r\n0\r\n\r\n"),
    # Smuggling in several steps, which end with the first.
    "SMUG-CLTE-CONN-CLOSE": (400, post(b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + EMBEDDED)),
    "SMUG-TECL-CONN-CLOSE": (400, post(b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"0\r\n\r\n" + EMBEDDED)),
    "SMUG-CLTE-DESYNC": (400, post(b"Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\nX" + EMBEDDED)),
    "SMUG-TECL-DESYNC": (400, post(b"Transfer-Encoding: chunked\r\nContent-Length: 30", b"0\r\n\r\nX" + EMBEDDED)),
    "SMUG-CLTE-SMUGGLED-GET": (400, both(b"Transfer-Encoding: chunked")),
    "SMUG-CLTE-SMUGGLED-HEAD": (400, both(b"Transfer-Encoding: chunked", embedded=EMBEDDED.replace(b"GET", b"HEAD"))),
    "SMUG-CLTE-SMUGGLED-GET-CL-PLUS": (400, both(b"Transfer-Encoding: chunked", b"+%d")),
    "SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC": (400, both(b"Transfer-Encoding: chunked", b"%dx")),
    "SMUG-CLTE-SMUGGLED-GET-TE-OBS-FOLD": (400, both(b"Transfer-Encoding:\r\n chunked")),
    "SMUG-CLTE-SMUGGLED-GET-TE-TRAILING-SPACE": (400, both(b"Transfer-Encoding: chunked ")),
    "SMUG-CLTE-SMUGGLED-GET-TE-LEADING-COMMA": (400, both(b"Transfer-Encoding: , chunked")),
    "SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH": (400, both(b"Transfer-Encoding: Chunked")),
    "SMUG-TE-DUPLICATE-HEADERS-SMUGGLED-GET": (400, both(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")),
    "SMUG-TECL-SMUGGLED-GET": (
        400,
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"23\r\n" + EMBEDDED + b"\r\n0\r\n\r\n"),
    ),
    "SMUG-DUPLICATE-CL-SMUGGLED-GET": (400, post(b"Content-Length: 4\r\nContent-Length: 39", b"PING" + EMBEDDED)),
    "SMUG-OPTIONS-TE-OBS-FOLD": (
        400,
        b"OPTIONS / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nhello" + EMBEDDED,
    ),
    "SMUG-CHUNK-INVALID-SIZE-DESYNC": (400, CHUNKED + b"+0\r\n\r\nX" + EMBEDDED),
    # Malformed input.
    "MAL-BINARY-GARBAGE": (400, bytes(range(128, 256)) + bytes(range(128))),
    "MAL-LONG-URL": (414, line(b"GET /" + b"A" * 100_000 + b" HTTP/1.1")),
    "MAL-LONG-HEADER-VALUE": (431, get(b"X-Big: " + b"B" * 100_000)),
    "MAL-MANY-HEADERS": (431, get(b"\r\n".join(b"X-H-%d: value" % number for number in range(10_000)))),
    "MAL-NUL-IN-URL": (400, line(b"GET /\0test HTTP/1.1")),
    "MAL-CONTROL-CHARS-HEADER": (400, get(b"X-Test: abc\x07\x08\x0bdef")),
    "MAL-LONG-HEADER-NAME": (431, get(b"A" * 100_000 + b": val")),
    "MAL-LONG-METHOD": (400, line(b"A" * 100_000 + b" / HTTP/1.1")),
    "MAL-NON-ASCII-HEADER-NAME": (400, get(b"X-T\xc3\xabst: value")),
    "MAL-NON-ASCII-URL": (400, line(b"GET /caf\xc3\xa9 HTTP/1.1")),
    "MAL-CL-OVERFLOW": (400, post(b"Content-Length: 99999999999999999999", b"")),
    "MAL-CL-EMPTY": (400, post(b"Content-Length: ")),
    "MAL-WHITESPACE-ONLY-LINE": (400, b"   \r\n\r\n"),
    "MAL-NUL-IN-HEADER-VALUE": (400, get(b"X-Test: val\0ue")),
    "MAL-CHUNK-SIZE-OVERFLOW": (400, CHUNKED + b"FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n"),
    "MAL-H2-PREFACE": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "MAL-CHUNK-EXTENSION-LONG": (431, CHUNKED + b"5;ext=" + b"A" * 100_000 + b"\r\nhello\r\n0\r\n\r\n"),
    # Names that only look like those of the framing.
    "NORM-SP-BEFORE-COLON-CL": (400, post(b"Content-Length: 11\r\nContent-Length : 5", b"hello world")),
    "NORM-TAB-IN-NAME": (400, post(b"Content-Length: 11\r\nContent\tLength: 99", b"hello world")),
    # Cookies.
    "COOK-NUL": (400, get(b"Cookie: foo=\0bar")),
    "COOK-CONTROL-CHARS": (400, get(b"Cookie: foo=\x01\x02\x03")),
    "COOK-OVERSIZED": (431, get(b"Cookie: big=" + b"A" * 65_536)),
    # h1spec, where it is not the same request.
    "h1spec: no version": (400, b"GET / \r\n\r\n"),
    "h1spec: characters that no name has": (400, get(b"X-Invalid[]: test")),
    "h1spec: a length and no Host": (400, b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"),
    "h1spec: a length far below zero": (400, get(b"Content-Length: -123456789123456789123456789")),
    "h1spec: BEL in a value": (400, get(b"X-Bad-Control-Char: test\x07")),
    "h1spec: text before the method": (400, line(b"Extra lineGET / HTTP/1.1")),
    "h1spec: LF CR": (400, get(b"\rSome-Header: Test")),
    "h1spec: a coding and a length": (400, get(b"Transfer-Encoding: chunked\r\nContent-Length: 5")),
}

# Read, and answered by the backend with 200. With each the body that it reads.
PASSED = {
    "COMP-BASELINE": (get(b"A: b"), b""),
    "COMP-LEADING-CRLF": (b"\r\n\r\n" + get(b"A: b"), b""),
    "COMP-ABSOLUTE-FORM": (line(b"GET http://a/ HTTP/1.1"), b""),
    "COMP-POST-CL-BODY": (post(b"Content-Length: 5"), b"hello"),
    "COMP-POST-CL-ZERO": (post(b"Content-Length: 0", b""), b""),
    "COMP-POST-NO-CL-NO-TE": (post(b"A: b", b""), b""),
    "COMP-CHUNKED-BODY": (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "COMP-CHUNKED-MULTI": (CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    "COMP-CHUNKED-EMPTY": (CHUNKED + b"0\r\n\r\n", b""),
    "COMP-CHUNKED-EXTENSION": (CHUNKED + b"5;ext=value\r\nhello\r\n0\r\n\r\n", b"hello"),
    "COMP-CHUNKED-TRAILER-VALID": (CHUNKED + b"5\r\nhello\r\n0\r\nX-Checksum: abc\r\n\r\n", b"hello"),
    "COMP-CHUNKED-HEX-UPPERCASE": (CHUNKED + b"A\r\nhelloworld\r\n0\r\n\r\n", b"helloworld"),
    "COMP-UPGRADE-POST": (post(b"Connection: Upgrade\r\n" + UPGRADE + b"13", b""), b""),
    "COMP-UPGRADE-MISSING-CONN": (get(UPGRADE + b"13"), b""),
    "COMP-UPGRADE-UNKNOWN": (get(b"Connection: Upgrade\r\nUpgrade: totally-made-up/1.0"), b""),
    "COMP-UPGRADE-HTTP10": (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\n" + UPGRADE + b"13\r\n\r\n", b""),
    "COMP-GET-WITH-CL-BODY": (sized(b"5", b"hello"), b"hello"),
    "COMP-HTTP10-NO-HOST": (b"GET / HTTP/1.0\r\n\r\n", b""),
    "COMP-RANGE-POST": (post(b"Content-Length: 5\r\nRange: bytes=0-10"), b"hello"),
    "COMP-RANGE-INVALID": (get(b"Range: bytes=abc-xyz"), b""),
    "COMP-405-ALLOW": (line(b"DELETE / HTTP/1.1"), b""),
    "COMP-ACCEPT-NONSENSE": (get(b"Accept: application/x-nonsense"), b""),
    "COMP-POST-UNSUPPORTED-CT": (post(b"Content-Length: 5\r\nContent-Type: application/x-nonsense"), b"hello"),
    "COMP-LONG-URL-OK": (line(b"GET /" + b"a" * 7900 + b" HTTP/1.1"), b""),
    "COMP-NO-1XX-HTTP10": (
        b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    "COMP-DUPLICATE-CT": (
        post(b"Content-Length: 5\r\nContent-Type: text/plain\r\nContent-Type: text/html"),
        b"hello",
    ),
    "SMUG-CL-LEADING-ZEROS": (post(b"Content-Length: 005"), b"hello"),
    "SMUG-CL-LEADING-ZEROS-OCTAL": (post(b"Content-Length: 0200", b"A" * 200), b"A" * 200),
    "SMUG-CL-DOUBLE-ZERO": (post(b"Content-Length: 00", b""), b""),
    "SMUG-CL-TRAILING-SPACE": (post(b"Content-Length: 5 "), b"hello"),
    "SMUG-CL-EXTRA-LEADING-SP": (post(b"Content-Length:  5"), b"hello"),
    "MAL-CL-TAB-BEFORE-VALUE": (post(b"Content-Length:\t5"), b"hello"),
    "SMUG-TRANSFER_ENCODING": (post(b"Transfer_Encoding: chunked\r\nContent-Length: 5"), b"hello"),
    "SMUG-EXPECT-100-CL": (post(b"Content-Length: 5\r\nExpect: 100-continue"), b"hello"),
    "SMUG-TRAILER-HOST": (CHUNKED + b"5\r\nhello\r\n0\r\nHost: evil.example.com\r\n\r\n", b"hello"),
    "SMUG-TRAILER-AUTH": (CHUNKED + b"5\r\nhello\r\n0\r\nAuthorization: Bearer evil\r\n\r\n", b"hello"),
    "SMUG-TRAILER-CONTENT-TYPE": (CHUNKED + b"5\r\nhello\r\n0\r\nContent-Type: text/evil\r\n\r\n", b"hello"),
    "SMUG-HEAD-CL-BODY": (b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "SMUG-OPTIONS-CL-BODY": (b"OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "SMUG-GET-CL-PREFIX-DESYNC": (sized(b"33", EMBEDDED[:-2]), EMBEDDED[:-2]),
    "NORM-UNDERSCORE-CL": (post(b"Content-Length: 11\r\nContent_Length: 99", b"hello world"), b"hello world"),
    "NORM-CASE-TE": (post(b"TRANSFER-ENCODING: chunked", b"B\r\nhello world\r\n0\r\n\r\n"), b"hello world"),
    "COOK-ECHO": (get(b"Cookie: foo=bar"), b""),
    "COOK-EMPTY": (get(b"Cookie: "), b""),
    "COOK-MANY-PAIRS": (get(b"Cookie: " + b"; ".join(b"k%d=v%d" % (n, n) for n in range(1000))), b""),
    "COOK-MALFORMED": (get(b"Cookie: ===;;;"), b""),
    "COOK-MULTI-HEADER": (get(b"Cookie: a=1\r\nCookie: b=2"), b""),
    "h1spec: an expectation without a body": (get(b"Expect: 100-continue"), b""),
    "h1spec: white space": (b"GET / HTTP/1.1\r\nhoSt:\texample.com\r\nempty:\r\n\r\n", b""),
    "h1spec: an empty value": (get(b"X-Empty-Header: "), b""),
}

# What stands behind a request that passes, and is no request: that one is answered, the rest refused.
LEFT_OVER = {
    "NORM-UNDERSCORE-TE": (post(b"Transfer_Encoding: chunked", b"B\r\nhello world\r\n0\r\n\r\n"), 400),
    "SMUG-CL0-BODY-POISON": (post(b"Content-Length: 0", b"X" + EMBEDDED), 501),
}

# Not over yet: the gateway waits, also where a part of it could be taken for a whole.
UNFINISHED = {
    "MAL-EMPTY-REQUEST": (b"", get(b"A: b")),
    "MAL-INCOMPLETE-REQUEST": (b"GET / HTTP/1.1\r\nHost: a\r\nX-Test: value", b"\r\n\r\n"),
    "COMP-POST-CL-UNDERSEND": (post(b"Content-Length: 10"), b"world"),
    "COMP-CHUNKED-NO-FINAL": (CHUNKED + b"5\r\nhello\r\n", b"0\r\n\r\n"),
    **{
        f"h1spec: {end} bytes": (whole[:end], whole[end:])
        for whole in [b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"]
        for end in (1, 4, 10, 11, 15, 19, 20, 21, 24, 26, 27, 36, 37, 38, 39)
    },
}
