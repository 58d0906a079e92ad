"""HTTP/1.1 as a client speaks it (RFC 9112), without sockets: a request becomes bytes, bytes become a response.

What is refused, each as a bad response that is not passed on:

- anything llhttp calls malformed (bare CR or LF, NUL, obs-fold, conflicting lengths, bad chunks, ...);
- a response without a request, or bytes after a complete one: the connection is never used again;
- a 101 to a request that asked for no upgrade, or one that upgrades to nothing;
- a transfer coding other than chunked: this gateway does not ask for one, and cannot pass one on;
- a head over HEAD_LIMIT, trailers or chunk extensions over TRAILERS_LIMIT, more than INFORMATIONAL_LIMIT interim
  responses.

What is passed on, but ends the connection: a coding in HTTP/1.0 (RFC 9112, 6.1), a 204 that announces a body.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import httptools

from gateway.deadlines import NEVER
from gateway.http import Headers
from gateway.http.fields import may_be_trailer, tokens, values
from gateway.native import JoinedHead, ResponseCodec, joined_head, plain_response

HEAD_LIMIT: Final = 64 * 1024  # bytes of one response head
TRAILERS_LIMIT: Final = 16 * 1024  # bytes of a trailer section; of the chunk extensions before it, twice as many
CHUNK_OVERHEAD: Final = 16  # bytes of framing that come free with each piece of a body
INFORMATIONAL_LIMIT: Final = 16  # interim (1xx) responses to one request

_NO_BODY: Final = frozenset({204, 304})
_VERSIONS: Final = frozenset({"1.0", "1.1"})  # that the parser knows, beside others
_PLAIN_HEAD: Final = HEAD_LIMIT // 2  # bytes of one that is read as a plain one, and its lines
_PLAIN_LINES: Final = 256


class BadResponse(Exception):
    """The response is invalid."""


class CutShort(Exception):
    """The connection ended in the middle of a response."""


class Phase(Enum):
    """Where a connection is in its current response."""

    IDLE = "idle"  # no request is out: every byte is one too many
    HEAD = "head"
    BODY = "body"
    DONE = "done"
    SWITCHED = "switched"  # a 101 has come: what follows is no HTTP


def encode_request(
    method: str, path: str, query: bytes, host: bytes, headers: Headers, native: JoinedHead | None = joined_head
) -> bytes:
    """A request head. `query` begins with "?", or is empty; `headers` is everything but Host, framing included.

    Raises ValueError where a header holds a line break: the backend would take what is behind it for something else.
    """
    head = None
    if native is not None:
        head = native((method, " ", path, query, b" HTTP/1.1\r\nhost: ", host, b"\r\n"), headers, b"")
    if head is None:
        start = f"{method} {path}".encode() + query + b" HTTP/1.1\r\nhost: " + host + b"\r\n"
        lines = b"\r\n".join([*map(b": ".join, headers), b""])
        if not lines.count(b"\n") == lines.count(b"\r") == len(headers):
            raise ValueError("a request header holds a line break")
        head = start + lines + b"\r\n"
    return head


def encode_last_chunk(trailers: Headers) -> bytes:
    """The end of a chunked body, with its trailer section."""
    return b"0\r\n" + b"".join(b"%b: %b\r\n" % line for line in trailers) + b"\r\n"


def seconds_kept(keep_alive: bytes) -> float:
    """Seconds for which the upstream keeps an idle connection: `timeout=5`. NEVER, if it does not say."""
    for parameter in keep_alive.split(b","):
        key, _, number = parameter.strip().partition(b"=")
        if key.lower() == b"timeout" and number.isdigit():
            return float(number)
    return NEVER


# An enumeration's members are slow to look up, and these are asked for many times in every response.
IDLE: Final = Phase.IDLE
HEAD: Final = Phase.HEAD
BODY: Final = Phase.BODY
DONE: Final = Phase.DONE
SWITCHED: Final = Phase.SWITCHED


class ResponseReader:
    """Reads the responses on one connection, one after the other."""

    __slots__ = (
        "_buffered",
        "_head_bytes",
        "_informational",
        "_limit",
        "_method",
        "_native",
        "_overhead",
        "_parser",
        "_pieces",
        "_section",
        "_upgrade",
        "behind",
        "continued",
        "early_hints",
        "fields",
        "headers",
        "phase",
        "reusable",
        "started",
        "status",
        "trailers",
        "until_eof",
    )

    def __init__(self, native: ResponseCodec | None = plain_response) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._native = native
        self.early_hints: list[Headers] = []
        self.continued = False  # whether it asked for the body, with a 100
        self.behind = b""  # what has come behind a 101
        self._informational = 0
        self._pieces: list[bytes] = []
        self._buffered = 0
        self.until_eof = False  # then, as after a 101, no other response follows
        self.begin("")
        self.phase = IDLE

    def begin(self, method: str, *, upgrade: bool = False) -> None:
        """A request goes out, which may ask for an upgrade: what comes next is the answer to it."""
        self.phase = HEAD
        self.started = False  # whether any byte of an answer has come
        self.status = 0
        self.headers: Headers = []
        self.fields: dict[bytes, bytes] = {}  # header name -> its last value, once the head is complete
        self._section = self.headers  # where the next header line belongs
        self.trailers: Headers = []
        self.reusable = False
        self._upgrade = upgrade
        self._method = method
        self._head_bytes = 0  # of complete header lines
        self._limit = HEAD_LIMIT
        self._overhead = 0  # bytes fed since the head or the body began that are not of the body
        if self._informational:
            self._informational = 0
            self.continued = False
            self.early_hints = []
        if self._buffered:  # unread bytes of the response before
            self._pieces = []
            self._buffered = 0

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes have come. Raises BadResponse; what was read of the body before that must not be passed on as whole."""
        if self.phase is IDLE:
            raise BadResponse("bytes that no request asked for")
        if self._upgrade and self.switched:
            self.behind += bytes(data)
            return
        if not self.started and self._native is not None and self._reads_plainly(data):
            return
        self.started = True
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self.switched:
                self._refuse("an upgrade that was not requested")
            self.behind = bytes(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse(str(error.__context__ or error))
        if self._upgrade and self.switched:
            raise BadResponse("a 101 that does not say to what")
        if self._overhead > 2 * self._limit and self.phase is not DONE:  # one endless line: the parser may hold it all
            raise self._too_large()

    def _reads_plainly(self, data: bytes | memoryview) -> bool:
        """Read a whole response that is plain; nothing is changed by another one."""
        assert self._native is not None
        if self._upgrade or self._method == "HEAD":
            return False
        read = self._native(data, _PLAIN_HEAD, _PLAIN_LINES)
        if read is None:
            return False
        self.status, self.headers, self.fields, body = read
        if body:
            self._pieces.append(body)
            self._buffered = len(body)
        self.started = self.reusable = True
        self.phase = DONE
        return True

    def eof(self) -> None:
        """The upstream closed. Raises CutShort unless that is how this body ends."""
        if self.phase is BODY and self.until_eof:
            self.phase = DONE
        elif self.phase in (HEAD, BODY):
            raise CutShort

    def forget(self) -> None:
        """Stop feeding. (Breaks reference cycles, which would stay until a garbage collection.)"""
        self._parser = None
        if self.switched:
            self.headers, self.fields = [], {}

    @property
    def switched(self) -> bool:
        """Whether a 101 has come: what follows is no HTTP."""
        return self.phase is SWITCHED

    @property
    def buffered(self) -> int:
        """Bytes of the body that were not read yet."""
        return self._buffered

    def take(self) -> bytes:
        """The part of the body that was received since the last call."""
        pieces = self._pieces
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered = 0
        return data

    def _refuse(self, reason: str) -> None:
        # Behind a complete response it is junk: the response stands, the connection is finished.
        self.reusable = False
        if self.phase is not DONE:
            raise BadResponse(reason)

    def _too_large(self) -> BadResponse:
        what = "trailers or chunk extensions" if self.phase is BODY else "a response head"
        return BadResponse(f"{what} over {self._limit} bytes")

    # Called by the parser.

    def on_message_begin(self) -> None:
        if self.phase is not HEAD:
            raise BadResponse("a second response to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes = size = self._head_bytes + len(name) + len(value) + 4
        if size > self._limit:
            raise self._too_large()
        self._section.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.status = status = self._parser.get_status_code()
        if status < 200:
            self._interim(status)
            return
        version = self._parser.get_http_version()
        if version not in _VERSIONS:
            raise BadResponse(f"HTTP/{version} in place of HTTP/1.1")
        self.fields = fields = dict(self.headers)
        coding = fields.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or len(values(self.headers, b"transfer-encoding")) > 1):
            raise BadResponse("a transfer coding other than chunked")
        self.reusable = self._parser.should_keep_alive()
        if coding is not None or status == 204:
            self.reusable = self.reusable and not self._is_oddly_framed(coding, version)
        self._overhead -= min(self._overhead, self._head_bytes)
        self._head_bytes = 0  # from here on, of the trailer section
        self._limit = TRAILERS_LIMIT
        self.phase = BODY
        self._section = self.trailers
        if self._method == "HEAD":
            # A response to HEAD. The parser does not know of HEAD and waits for a body: it has done its work.
            self.reusable = version == "1.1" and b"close" not in tokens(self.headers, b"connection")
            self.phase = DONE
            self._parser = httptools.HttpResponseParser(self)
        elif coding is None and b"content-length" not in fields and status not in _NO_BODY:
            self.until_eof = True

    def _is_oddly_framed(self, coding: bytes | None, version: str) -> bool:
        """Whether the framing of a coding or a 204 is ambiguous between the upstream and the gateway."""
        if coding is not None:
            return self.status == 204 or version == "1.0"
        return bool(self.fields.get(b"content-length", b"").strip(b"0"))

    def _interim(self, status: int) -> None:
        if status == 101:
            if not self._upgrade:
                raise BadResponse("an upgrade that was not requested")
            self.phase = SWITCHED
            return
        if status < 100:
            raise BadResponse(f"a status of {status}")
        self._informational += 1
        if self._informational > INFORMATIONAL_LIMIT:
            raise BadResponse(f"more than {INFORMATIONAL_LIMIT} interim responses")
        self.continued = self.continued or status == 100
        if status == 103:
            self.early_hints.append([line for line in self.headers if line[0] == b"link"])
        self.headers = self._section = []
        self._overhead -= min(self._overhead, self._head_bytes)
        self._head_bytes = 0

    def on_body(self, data: bytes) -> None:
        if self.phase is not BODY:
            raise BadResponse("a body where none belongs")
        self._pieces.append(data)
        self._buffered += len(data)
        free = len(data) + CHUNK_OVERHEAD
        self._overhead = self._overhead - free if self._overhead > free else 0

    def on_message_complete(self) -> None:
        if self.phase is BODY:
            self.phase = DONE
            if self.trailers:
                # One that is called Connection, which means nothing there, may have ended the parser's work.
                self.reusable = self.reusable and self._parser.should_keep_alive()
                self.trailers = [line for line in self.trailers if may_be_trailer(line[0])]
