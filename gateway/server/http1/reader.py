"""Cuts what a client sends into requests, one at a time; no I/O.

llhttp does the parsing. It is given one request line, then bytes up to the next empty line, and so on: it never
reads past the end of a request, so that what stands behind one is untouched until its turn has come, and
nothing of it can be taken for anything else. A plain head that comes in one piece is read in C instead, where that is
built (`gateway/native`), and checked there: neither it nor its body is parsed by llhttp.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final, Protocol

import httptools

from gateway.config.models import ClientLimits
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers
from gateway.http.fields import packed, unpacked
from gateway.http.messages import RequestHead
from gateway.native import RequestCodec, plain_request
from gateway.server.head import bad, check_head, check_method, head_without_upgrade, is_websocket, not_http, shown_line
from gateway.server.http1.line_ends import end_of_empty_line, end_of_large_head, share_of

BLANK_LINES: Final = 8  # before a request (RFC 9112, 2.2 asks for one)
LINE_OVERHEAD: Final = 48  # bytes of a request line that are not its target
LINES_AT_ONCE: Final = 64  # of a chunked body, that are read in one call
LINES_BESIDE_HEAD: Final = 256  # the same, in the call that has read the head: what is broken there is not begun with
LARGE: Final = 4 * 1024  # bytes from which on the end of a head is looked for line by line
LOGGED_URL: Final = 1024  # bytes of a target that is too long that are remembered of it
CHUNK_OVERHEAD: Final = 16  # bytes of framing that come free with each piece of a chunked body
EXTENSIONS: Final = 8 * 1024  # bytes of framing beyond that, before trailers; no larger than a head may be

_STAND_IN: Final = b"POST"  # what llhttp reads in place of a method that it may not know, or not of HTTP
_PLAIN_METHOD: Final = rb"GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS"
_METHOD: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}"
_TARGET: Final = rb"[\x21\x22\x24-\x7e]++"  # anything visible but "#"
_REST_OF_LINE: Final = rb") (" + _TARGET + rb") HTTP/([0-9]\.[0-9])\r\n"
_PLAIN_LINE: Final = re.compile(rb"(" + _PLAIN_METHOD + _REST_OF_LINE)
_REQUEST_LINE: Final = re.compile(rb"(" + _METHOD + _REST_OF_LINE)
_HOST: Final = re.compile(rb"\r\n(?i:host):")
_FRAMED: Final = re.compile(rb"\r\n(?i:content-length:[ \t]*([0-9]{1,9})\r|transfer-encoding:)")
_REQUEST_LINE_SO_FAR: Final = re.compile(_METHOD + rb"(?: (?:" + _TARGET + rb"(?: [HTP/0-9.]{0,8}\r?)?)?)?|\r?")


def looks_whole(data: bytes) -> bool:
    """Whether this looks like a request, all of it; a quick look, and no check of anything."""
    line = _REQUEST_LINE.match(data, 2 if data.startswith(b"\r\n") else 0)
    end = -1 if line is None else data.find(b"\r\n\r\n", line.end(3))
    if line is None or end < 0:
        return False
    usual = data.find(b"\r\nHost: ") > 0 or data.find(b"\r\nhost: ") > 0  # `in` first tries them as numbers
    if not usual and line[3] != b"1.0" and _HOST.search(data) is None:
        return False
    framed = None if line[1] == b"GET" else _FRAMED.search(data, line.end(3), end + 2)
    if framed is None:
        return True
    return data.endswith(b"0\r\n\r\n") if framed[1] is None else len(data) >= end + 4 + int(framed[1])


class Sink(Protocol):
    """Is notified of what has been read."""

    def on_head(self, head: RequestHead, length: int | None, keep_alive: bool, expects_continue: bool) -> None:
        """A request begins, whose head may pass.

        `length` is that of its body, None for a chunked one; if it is 0, neither `on_body` nor `on_end` follows. After
        `expects_continue` the client may wait for a 100.
        """
        ...

    def on_body(self, data: bytes) -> None:
        """A piece of its body."""
        ...

    def on_end(self, trailers: Headers) -> None:
        """All of it has come."""
        ...


class Part(Enum):
    """The expected next part."""

    LINE = "line"
    HEADERS = "headers"
    LENGTH = "length"  # a body of known length
    CHUNKED = "chunked"


# An enumeration's members are slow to look up, and these are asked for many times in every request.
LINE: Final = Part.LINE
HEADERS: Final = Part.HEADERS
LENGTH: Final = Part.LENGTH
CHUNKED: Final = Part.CHUNKED


class RequestReader:
    """The requests of one connection."""

    def __init__(self, sink: Sink, limits: ClientLimits, native: RequestCodec | None = plain_request) -> None:
        self._sink: Any = sink
        self._native = native
        self._is_plain = False  # its head was read by that
        self._limits = limits
        self._most_headers = limits.headers
        self._most_bytes = limits.head
        self._most_extensions = min(limits.head, EXTENSIONS)
        self._longest_line = limits.url + LINE_OVERHEAD
        self._part = LINE
        self._line = b""  # of a request line that has not come whole
        self._blank_lines = 0
        self._tail = b""  # up to three bytes before what comes next
        self._size = 0  # bytes of the headers, or of what is not data in a chunked body
        self._left = 0  # bytes of the body
        self._has_body = False
        self._body: list[bytes] = []  # what the parser has just found of it
        self._fault: GatewayError | None = None  # found inside a callback, which can only raise through the parser
        self._parser: Any = None  # made for the first request, as what comes may be none
        self._complete = self._keep_alive = False
        self._trailers: Headers = []
        self._end()

    def _end(self) -> None:
        """All of a request has come, and nothing of another one."""
        self._part = LINE
        if self._has_body:
            self._sink.on_end(self._trailers)
            self._has_body = False
            if self._trailers and self._keep_alive:
                self._parser = None  # one that is called Connection, which means nothing there, ends its work
        self.method = "-"
        self.url = b""
        self.headers: Headers = []
        self._packed = b""  # such lines, while the refusal waits
        self._version = ""
        self._trailers = []
        self._head_complete = False

    def _new_parser(self) -> None:
        self._head_complete = self._complete = self._keep_alive = False
        self._parser = httptools.HttpRequestParser(self)

    def close(self) -> None:
        """Stop reading. (Breaks reference cycles, which would stay until a garbage collection.)"""
        self._parser = self._sink = self._fault = None
        self.headers = []

    @property
    def between_requests(self) -> bool:
        """Whether nothing of a request has come, or all of it."""
        return self._part is LINE and not self._line

    def pack(self, fault: GatewayError) -> GatewayError:
        """Keep what came of a head in one piece, until its refusal has its turn. Returns the fault, free of its frames.

        A hundred header lines are three hundred small objects. Those of a thousand connections leave memory in pieces
        that do not go back to the system.
        """
        self._packed, self.headers, self._fault = packed(self.headers), [], None
        fault.__traceback__ = fault.__context__ = None
        return fault

    def refused_head(self) -> RequestHead:
        """The received part of an invalid head."""
        path, _, query = self.url.partition(b"?")
        headers = self.headers + unpacked(self._packed)
        shown = path.decode("latin-1") or "/"
        return RequestHead(self.method, "1.1", shown, query, headers, dict(headers), bare_query=False, websocket=False)

    def read(self, data: bytes) -> bytes:
        """Read up to the end of a request, or a share of a chunked body; what is behind that is returned.

        Raises GatewayError where none may pass.
        """
        lines = LINES_AT_ONCE if self._part is CHUNKED else LINES_BESIDE_HEAD
        while data:
            if self._part is LINE:
                end = 0 if self._native is None or self._line else self._read_plainly(data)
                data = data[end:] if end else self._read_line(self._line + data)
            elif self._part is HEADERS:
                data = self._read_headers(data)
            elif self._part is CHUNKED:
                share = share_of(data, lines)
                data = self._read_chunked(data[:share]) + data[share:]
                if not self._complete:
                    return data
            else:
                piece = data[: self._left]
                self._left -= len(piece)
                if self._is_plain:
                    self._sink.on_body(piece)
                    self._complete = self._left == 0
                else:
                    self._parse(piece)
                    self._deliver()
                if self._complete:
                    self._end()
                data = data[len(piece) :]
            if self._complete:
                self._complete = False
                return data
        return data

    @property
    def in_chunks(self) -> bool:
        """Whether what comes next is of a chunked body."""
        return self._part is CHUNKED

    # The parts of a request.

    def _read_plainly(self, data: bytes) -> int:
        """Read a head that is plain, and all there. Returns where it ends; 0, with nothing changed, for another one."""
        assert self._native is not None
        last = self._parser is not None and not self._keep_alive  # llhttp refuses what comes behind the last request
        read = None if last or self._blank_lines else self._native(data, self._most_bytes, self._most_headers)
        if read is None:
            return 0
        method, path, query, bare_query, headers, fields, length, expects, end = read
        if len(path) + len(query) + LINE_OVERHEAD >= self._longest_line:
            return 0
        self._is_plain = self._keep_alive = True
        if length > 0:
            self._part, self._has_body, self._left = LENGTH, True, length
        else:
            self._complete = True
        head = RequestHead(method, "1.1", path, query, headers, fields, bare_query, websocket=False)
        self._sink.on_head(head, length, True, expects)
        return end

    def _read_line(self, data: bytes) -> bytes:
        if len(data) > self._longest_line and data.find(b"\n", 0, self._longest_line) < 0:
            raise self._too_long(data)
        line = _PLAIN_LINE.match(data)
        if line is None or self._blank_lines:
            return self._read_line_slowly(data)
        self._line = b""
        self._begin(*line.groups())
        self._size = -line.end()
        self._tail = b""
        return self._read_headers(data, line.end() - 2)

    def _read_line_slowly(self, data: bytes) -> bytes:
        """Blank lines before it, not all of it, or a method of which llhttp may know nothing, or something else."""
        start = 0
        while data.startswith(b"\r\n", start):
            start += 2
            self._blank_lines += 1
            if self._blank_lines > BLANK_LINES:
                raise bad("too many blank lines before the request")
        line = _REQUEST_LINE.match(data, start)
        if line is None:
            self._line = data[start:]
            if not _REQUEST_LINE_SO_FAR.fullmatch(self._line):
                self.method, self.url = shown_line(self._line)
                raise not_http(self._line)
            return b""
        self._line = b""
        self._blank_lines = 0
        self._begin(*line.groups())
        check_method(self.method)
        rest = data[line.end(1) :]
        length = len(_STAND_IN) + line.end() - line.end(1)
        self._size = -length
        self._tail = b""
        return self._read_headers(_STAND_IN + rest, length - 2)

    def _too_long(self, data: bytes) -> GatewayError:
        """Why a line is refused that does not end where lines do; its beginning shows what it is."""
        start = data[: min(self._longest_line, LINE_OVERHEAD + LOGGED_URL)]
        if not _REQUEST_LINE_SO_FAR.fullmatch(start):
            return not_http(start)
        method, _, rest = start.partition(b" ")
        self.method, self.url = method.decode(), rest.partition(b" ")[0][:LOGGED_URL]
        return self._url_too_long()

    def _begin(self, method: bytes, url: bytes, version: bytes) -> None:
        self._is_plain = False
        self.method, self.url, self._version = method.decode(), url, version.decode()
        if len(url) > self._limits.url:
            self.url = url[:LOGGED_URL]
            raise self._url_too_long()
        if self._version not in ("1.1", "1.0"):
            detail = f"the request line names HTTP/{self._version}; what is spoken here is HTTP/1.1"
            raise GatewayError(ErrorKind.VERSION_NOT_SUPPORTED, detail)
        self._part = HEADERS

    def _read_headers(self, data: bytes, start: int = 0) -> bytes:
        if self._tail or len(data) > LARGE:
            end = end_of_large_head(self._tail, data, start, self._most_bytes, self._most_headers)
        else:
            found = data.find(b"\r\n\r\n", start)
            end = found + 4 if found >= 0 else len(data)
        self._size += end
        if self._size > self._most_bytes:
            raise self._too_large()
        self._parse(data[:end])
        if self._head_complete:
            self._end_of_head()
            if self._complete:
                self._end()
        else:
            self._tail = (self._tail + data[max(0, end - 3) : end])[-3:]
        return data[end:]

    def _read_chunked(self, data: bytes) -> bytes:
        view, at = memoryview(data), 0
        while at < len(data):
            start, at = at, end_of_empty_line(self._tail if at == 0 else b"", data, at)
            self._size += at - start
            self._parse(view[start:at])
            self._deliver()
            if self._size > (self._most_bytes if self._trailers else self._most_extensions):
                raise self._too_large()
            if self._complete:
                self._end()
                return data[at:]
        self._tail = (self._tail + data[-3:])[-3:]
        return b""

    def _end_of_head(self) -> None:
        method, version, headers = self.method, self._version, self.headers
        fields = dict(headers)
        path, query = check_head(method, version, self.url, headers, fields)
        websocket = False
        if self._parser.should_upgrade():
            websocket = is_websocket(method, version, headers, fields)
            if not websocket:
                # An upgrade may be ignored (RFC 9110, 7.8): read the same head again without it, so that its body
                # counts.
                kept, self.headers = self.headers, []
                self._new_parser()
                self._parse(head_without_upgrade(_STAND_IN, self.url, self._version, kept))
                self.headers = kept
        length: int | None = 0
        if b"content-length" in fields:
            length = int(fields[b"content-length"])
        elif b"transfer-encoding" in fields:
            length = None
        self._part = CHUNKED if length is None else LENGTH
        self._has_body = length != 0
        self._left = length or 0
        self._size = 0
        self._tail = b""
        expects = b"expect" in fields and version == "1.1"
        bare_query = not query and self.url.endswith(b"?")
        head = RequestHead(method, version, path.decode("latin-1"), query, headers, fields, bare_query, websocket)
        self._sink.on_head(head, length, self._keep_alive, expects)

    def _deliver(self) -> None:
        """Pass on what came of the body, in one piece."""
        pieces = self._body
        if pieces:
            self._body = []
            self._sink.on_body(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    # The parser.

    def _parse(self, data: bytes | memoryview) -> None:
        if self._parser is None:
            self._new_parser()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the head ended here
        except httptools.HttpParserError as error:
            raise self._fault or bad(str(error) or "the request is no valid HTTP") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        lines = self._trailers if self._head_complete else self.headers
        lines.append((name.lower(), value.rstrip(b" \t")))
        if len(lines) > self._most_headers:
            self._fault = self._too_large()
            raise self._fault

    def on_headers_complete(self) -> None:
        self._head_complete = True
        self._keep_alive = self._parser.should_keep_alive()  # known only now

    def on_body(self, data: bytes) -> None:
        self._size -= min(self._size, len(data) + CHUNK_OVERHEAD)
        self._body.append(data)

    def on_message_complete(self) -> None:
        self._complete = True

    # What may be too much.

    def _url_too_long(self) -> GatewayError:
        return GatewayError(ErrorKind.URL_TOO_LONG, f"the URL is over {self._limits.url} bytes")

    def _too_large(self) -> GatewayError:
        limits = self._limits
        what = f"the request headers are over {limits.head} bytes or {limits.headers} lines"
        if self._part is not HEADERS:
            what = f"chunk extensions are over {self._most_extensions} bytes, or with trailers over {limits.head}"
        return GatewayError(ErrorKind.HEADERS_TOO_LARGE, what)
