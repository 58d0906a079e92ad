"""Compresses responses for clients that accept it.

All of it happens on the event loop. At most SLICE bytes are compressed at a time, 0.05 to 0.2 ms, then others have
their turn; a thread would cost 35 us a piece and a lock around every stream.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.config.models import RouteConfig
from gateway.context import Context
from gateway.http import Body, Exchange, Handler, Headers, Response, WrappedBody
from gateway.http.encoding import Choice, choose
from gateway.http.fields import tokens, values
from gateway.http.media import MediaRanges
from gateway.middleware.declaration import Declaration

if TYPE_CHECKING:
    from gateway.middleware.compressors import Compressor

SLICE = 16 * 1024
REMEMBERED = 512  # values of Accept-Encoding whose choice is remembered
REMEMBERED_LENGTH = 128  # bytes; longer ones are looked at each time

_NEVER = frozenset({101, 204, 205})
_ABOUT_ANOTHER = frozenset({206, 304})
"""Answers with the validators of a 200 that is not sent: they must be those that it would have (RFC 9110, 15.3.7
and 15.4.5)."""
_UNTOUCHABLE = frozenset({b"content-encoding", b"content-digest", b"repr-digest", b"digest", b"content-md5"})
"""Encoded already, or with a digest that would be wrong afterwards (RFC 9530)."""


class Choices:
    """The client's preferences."""

    __slots__ = ("_remembered", "offered")

    def __init__(self, offered: tuple[str, ...]) -> None:
        self.offered = offered
        self._remembered: dict[bytes, Choice] = {}

    def choice(self, exchange: Exchange) -> Choice:
        """The best coding for this client."""
        fields = exchange.fields
        accept = fields.get(b"accept-encoding")
        if accept is None:
            return _NONE
        if len(fields) != len(exchange.headers):
            accept = b",".join(values(exchange.headers, b"accept-encoding"))
        choice = self._remembered.get(accept)
        if choice is None:
            choice = choose(accept.decode("latin-1"), self.offered)
            if len(accept) <= REMEMBERED_LENGTH:
                if len(self._remembered) >= REMEMBERED:
                    self._remembered.clear()
                self._remembered[accept] = choice
        return choice


_NONE = Choice(None)


@dataclass(frozen=True, slots=True)
class Compression:
    """`min_size` is in bytes."""

    compressors: Mapping[str, Callable[[], Compressor]]  # by the name of the coding
    choices: Choices
    types: MediaRanges
    min_size: int

    def __repr__(self) -> str:
        return f"Compression({', '.join(self.choices.offered)})"

    def wrap(self, handler: Handler) -> Handler:
        """A handler whose responses are compressed where that is wanted, and worth it."""

        async def compressed(exchange: Exchange) -> Response:
            response = await handler(exchange)
            choice = self.choices.choice(exchange)
            if self._may(exchange, response, required=choice.required):
                # Tell caches that the response depends on what the client accepts, whichever it gets now.
                headers = response.headers
                if not tokens(headers, b"vary") & {b"accept-encoding", b"*"}:
                    headers.append((b"vary", b"Accept-Encoding"))
                if choice.encoding is None:
                    return response
                if response.status in _ABOUT_ANOTHER:
                    _revalidate(exchange, response)
                elif exchange.method == "HEAD":
                    response.headers = _encoded_headers(response, choice.encoding)
                else:
                    await _encode(response, choice.encoding, self.compressors[choice.encoding]())
            return response

        return compressed

    def _may(self, exchange: Exchange, response: Response, *, required: bool) -> bool:
        """Whether the response to GET is for compression at all. `required`: as long as it is possible."""
        if response.status in _NEVER:
            return False
        fields = dict(response.headers)
        size = _whole_size(exchange, response, fields)
        if size is not None and size < (1 if required else self.min_size):
            return False
        if not fields.keys().isdisjoint(_UNTOUCHABLE):
            return False
        kind = _type_of_whole(response, fields)
        if kind is not None and (kind.startswith(b"text/event-stream") or not (required or self.types.match(kind))):
            return False
        return not (
            (b"cache-control" in fields and b"no-transform" in tokens(response.headers, b"cache-control"))
            or (b"cache-control" in exchange.fields and b"no-transform" in tokens(exchange.headers, b"cache-control"))
        )


def _whole_size(exchange: Exchange, response: Response, fields: dict[bytes, bytes]) -> int | None:
    """Bytes of the whole representation; None where that is not known."""
    if response.status == 206:
        size = fields.get(b"content-range", b"").rpartition(b"/")[2]
    elif isinstance(response.body, bytes) and response.status != 304 and exchange.method != "HEAD":
        return len(response.body)
    else:
        size = fields.get(b"content-length", b"")
    return int(size) if size.isdigit() else None


def _type_of_whole(response: Response, fields: dict[bytes, bytes]) -> bytes | None:
    """The content type of the whole representation; None where the response does not say."""
    kind = fields.get(b"content-type", b"")
    if response.status in _ABOUT_ANOTHER and (not kind or kind.startswith(b"multipart/byteranges")):
        return None
    return kind


async def _encode(response: Response, encoding: str, compressor: Compressor) -> None:
    """Put the coding on."""
    response.headers = _encoded_headers(response, encoding)
    body = response.body
    if isinstance(body, bytes):
        pieces = [await _compress(compressor, body), compressor.finish()]
        response.body = b"".join(pieces)
        response.headers.append((b"content-length", b"%d" % len(response.body)))
    else:
        response.body = compressed_body(body, compressor)


def _encoded_headers(response: Response, encoding: str) -> Headers:
    """Those of an encoded body. A strong ETag is for other bytes, and ranges of them mean nothing (RFC 9110, 8.8.1);
    so is the length, which a HEAD must not give for them either (8.6)."""
    headers = [_weak(line) for line in response.headers if line[0] not in (b"content-length", b"accept-ranges")]
    headers.append((b"content-encoding", encoding.encode()))
    return headers


def _weak(line: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return (line[0], b"W/" + line[1]) if line[0] == b"etag" and not line[1].startswith(b"W/") else line


def _revalidate(exchange: Exchange, response: Response) -> None:
    """Give a 304 or a 206 the ETag that the compressed 200 has.

    Where the response has no content type, as most 304s, the client knows which it has: the ETag that it names.
    """
    headers = response.headers
    fields = dict(headers)
    if _type_of_whole(response, fields) is None and _names_strong(exchange, fields.get(b"etag", b"")):
        return
    dropped = b"content-length" if response.status == 304 else b"accept-ranges"
    response.headers = [_weak(line) for line in headers if line[0] != dropped]


def _names_strong(exchange: Exchange, etag: bytes) -> bool:
    """Whether the client has the representation with this ETag as it is, and not compressed."""
    named: set[bytes] = set()
    for name in (b"if-none-match", b"if-range"):
        if name in exchange.fields:
            named |= {tag.strip() for value in values(exchange.headers, name) for tag in value.split(b",")}
    return etag in named and b"W/" + etag not in named


def compressed_body(body: Body, compressor: Compressor) -> Body:
    """A body on its way through a compressor.

    What has come is passed on as soon as nothing more is at hand, so that a client never waits for the sake of the
    compressor.
    """
    over = False

    async def read() -> bytes:
        nonlocal over
        while not over:
            piece = await body.read()
            if not piece:
                over = True
                return compressor.finish()
            data = await _compress(compressor, piece)
            if not body.ready:
                data += compressor.flush()
            if data:
                return data
        return b""

    return WrappedBody(body, read)


async def _compress(compressor: Compressor, data: bytes) -> bytes:
    if len(data) <= SLICE:
        return compressor.compress(data)
    made = []
    for start in range(0, len(data), SLICE):
        if start:
            await _Turn()
        made.append(compressor.compress(data[start : start + SLICE]))
    return b"".join(made)


class _Turn:
    """Lets the event loop serve others before going on."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


def for_route(context: Context, route: RouteConfig) -> Compression | None:
    """None where no encoding is configured for the route."""
    config = context.configuration.middleware.compression
    if not config.encodings or not config.applies_to(route.id):
        return None
    from gateway.middleware.compressors import COMPRESSORS  # noqa: PLC0415  for those who have it, with its libraries

    return Compression(COMPRESSORS, Choices(config.encodings), MediaRanges(config.types), config.min_size)


DECLARATION: Final[Declaration] = Declaration("compression", for_route)
