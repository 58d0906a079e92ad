"""The payloads of HTTP Garden: for each fault it found in a server or a proxy, a request that shows it.

A proxy passes where nothing dirty comes out of it: whatever a client sends, the backend reads messages that can be read
in one way only. `Host` is added where a payload has none and lives of something else.
"""

H = b"Host: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def get(rest: bytes, end: bytes = b"\r\n\r\n") -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + rest + end


def sized(length: bytes, body: bytes) -> bytes:
    return get(b"Content-Length: " + length) + body


# Refused with one answer, the connection closed.
REFUSED = {
    # Lengths.
    "a length with a plus and an underscore": sized(b"+1_0", b"0123456789"),
    "a length with a plus": sized(b"+1", b"Z"),
    "a length of +0": sized(b"+0", b""),
    "a length below zero": sized(b"-48", b""),
    "a length in hexadecimal": sized(b"0x10", b"Z"),
    "a length with something behind it": sized(b"1Z", b"Z"),
    "a length with letters behind it": sized(b"1abc", b"Z"),
    "an empty length": sized(b"", b""),
    "an empty length before a request": sized(b"", SMUGGLED),
    "an empty length before another": get(b"Content-Length: \r\nContent-Length: 35") + SMUGGLED,
    "two lengths, the first longer": get(b"Content-Length: 1\r\nContent-Length: 0") + b"Z",
    "two lengths, the second longer": get(b"Content-Length: 0\r\nContent-Length: 1") + b"Z",
    "two lengths around a request": get(b"Content-Length: 0\r\nContent-Length: 35") + SMUGGLED,
    "a length before a space": get(b"Content-Length : 39") + SMUGGLED,
    "a length without a colon": get(b"Content-Length 10") + b"0123456789",
    "a length with \\x85": get(b"Content-Length\x85: 10") + b"0123456789",
    "a length behind a CR": get(b"Whatever: whatever\rContent-Length: 10") + b"0123456789",
    "a length behind a tab, first": b"GET / HTTP/1.1\r\n\tContent-Length: 1\r\nHost: a\r\n\r\nX",
    "a length and a coding": get(b"Content-Length: 5\r\nTransfer-Encoding: chunked") + b"0\r\n\r\n",
    "a length that is none, and a coding": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: blah\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n1\r\nZ\r\n0\r\n\r\n",
    # Transfer codings.
    "a coding in an incomplete list, and a length": get(b"Transfer-Encoding: ,chunked\r\nContent-Length: 5")
    + b"0\r\n\r\n",
    "a coding in an incomplete list": get(b"Transfer-Encoding: ,chunked") + b"0\r\n\r\n",
    "an unknown coding": get(b"Transfer-Encoding: blegh") + b"1\r\nZ\r\n0\r\n\r\n",
    "two codings": get(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked") + b"1\r\nZ\r\n0\r\n\r\n",
    "a coding between \\xa0": get(b"Transfer-Encoding: \xa0chunked\xa0") + b"0\r\n\r\n",
    "a coding between \\xff": get(b"Transfer-Encoding: \xffchunked\xff") + b"1\r\nZ\r\n0\r\n\r\n",
    "a coding whose name goes on in the next line": get(b"Transfer-\r\nEncoding: chunked\r\nContent-Length: 5")
    + b"0\r\n\r\n",
    # Chunks.
    "a chunk size with an underscore": CHUNKED + b"0_2e\r\n\r\n" + SMUGGLED + b"0\r\n\r\n",
    "a chunk size with a prefix and an underscore": CHUNKED + b"0x2_e\r\n\r\n" + SMUGGLED + b"0\r\n\r\n",
    "a chunk size with a prefix": CHUNKED + b"0x1\r\nZ\r\n0\r\n\r\n",
    "a later chunk size with a prefix": CHUNKED + b"1\r\nZ\r\n-0x0\r\n\r\n",
    "a chunk size below zero with a prefix": CHUNKED + b"-0x0\r\n\r\n",
    "a chunk size with text behind it": CHUNKED + b"1these-bytes-never-get-validated\r\nZ\r\n0\r\n\r\n",
    "chunk sizes that are none": CHUNKED + b"Z\r\nZZ\r\nZZZ\r\n\r\n",
    "a chunk that is none before a request": CHUNKED + b"INVALID!!!\r\n" + SMUGGLED,
    "an empty chunk size": CHUNKED + b"\r\n\r\n",
    "an empty chunk size before a request": CHUNKED + b"\r\n\r\n" + SMUGGLED,
    "an empty chunk size behind a chunk": CHUNKED + b"1\r\nZ\r\n\r\n\r\n" + SMUGGLED,
    "a chunk size behind spaces": CHUNKED + b"           0\r\n\r\n",
    "a chunk size behind a tab": CHUNKED + b"\t0\r\n\r\n",
    "a CR before a chunk extension": CHUNKED + b"2\r\r;a\r\n02\r\n41\r\n0\r\n\r\n" + SMUGGLED + b"0\r\n\r\n",
    "a CR before a longer chunk extension": CHUNKED + b"5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n" + SMUGGLED,
    "a CR behind a chunk extension": CHUNKED + b"41;a=b\r\rX" + b"X" * 64 + b"\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk that ends in LF": CHUNKED + b"a\r\n0123456789\n0\r\n\r\n",
    "a chunk size between CR and LF": CHUNKED + b"1\r0\n",
    "a last chunk that ends in LF": CHUNKED + b"0\n\r\n",
    "a line between chunks": CHUNKED + b"17\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
    # Header lines.
    "NUL, CR and LF in a value": get(b"Header: v\n\x00\ralue"),
    "NUL and CR in a value": get(b"Header: v\x00\ralue"),
    "LF, CR and NUL at the end of a value": get(b"Test: x\n\r\x00"),
    "NUL in a value": get(b"Test: test\x00the rest"),
    "LF and NUL in a value": get(b"Test: t\n\x00st"),
    "NUL alone as a value": get(b"H: \x00"),
    "NUL at the end of a value": get(b"Evil: evil\x00"),
    "CR in a value": get(b"Invalid-Header: this\rvalue\ris\rinvalid"),
    "CR and another header": get(b"Visible: :/\rSmuggled: :)"),
    "a request behind LF LF": get(b"Useless:\n\nGET /smuggled HTTP/1.1"),
    "CR before a line": get(b"\rZGET /evil: HTTP/1.1\r\nHost: a"),
    "NUL in a name": get(b"Hea\x00der: value"),
    "LF in a name": get(b"Te\nst: test"),
    "NUL in a name without a colon": get(b"a:b\r\nc\x00"),
    "\\x85 in a name": get(b"Header\x85: value"),
    "\\xff in a name": get(b"\xffoo: bar"),
    "an @ in a name": get(b"a@b: value"),
    "control characters in a name": get(bytes(c for c in range(32) if c not in b"\r\n") + b": value"),
    "separators in a name": get(b'"(),/;<=>?@[/]{}\xc0\xef: yep'),
    "no name": get(b": ignored"),
    "neither name nor value": get(b":\r\nI: am chopped off"),
    "a line without a colon": get(b"Test\r\nConnection: close"),
    "LF everywhere": b"GET / HTTP/1.1\nHost: whatever\nConnection: close\n\n",
    "NUL in Host": b"GET / HTTP/1.1\r\nHost: good.example\x00.evil.example\r\n\r\n",
    "\\xff around Host": b"GET / HTTP/1.1\r\nHost: \xffa\xff\r\n\r\n",
    # Request lines.
    "a version with two digits": b"GET /test HTTP/1.32\r\n" + H + b"\r\n",
    "a version beyond 32 bits": b"GET / HTTP/4294967295.255\r\n" + H + b"\r\n",
    "a version with CR": b"GET / HTTP/\r\r1.1\r\n" + H + b"\r\n",
    "a method of separators": b'G=":<>(e),[T];?" /get HTTP/1.1\r\n' + H + b"\r\n",
    "a method of NUL and a version of dots": b"\x00 / HTTP/............0596.7407.\r\n" + H + b"\r\n",
    "a target that is none": b"GET ! HTTP/1.1\r\n" + H + b"\r\n",
    "LF in the request line": b"GET /\nHTTP/1.1\r\n" + H + b"\r\n",
    "two spaces in the request line": b"POST /  HTTP/1.1\r\n" + H + b"\r\n",
    # HTTP/2.
    "an HTTP/2 preface with frames": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}

# Read in one way, and sent on so that it can be read in no other. With each the bodies that the backend reads.
PASSED = {
    "a body of GET": (sized(b"10", b"1234567890"), [b"1234567890"]),
    "leading zeros, for which some read octal": (sized(b"010", b"0123456789"), [b"0123456789"]),
    "an exclamation mark in a name": (get(b"Te!st: a"), [b""]),
    "obs-text around a value": (get(b"User: \x85admin\xa0"), [b""]),
    "a trailer that looks like a request": (CHUNKED + b"0\r\nX:POST / HTTP/1.1\r\n\r\n", [b""]),
    "a request that closes before nonsense": (get(b"Connection: close") + b"Invalid\r\n\r\n", [b""]),
    "three requests, one within another's body": (
        b"POST /0 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" + SMUGGLED,
        [b"", SMUGGLED],
    ),
}
