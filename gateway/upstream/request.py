"""What a backend receives: the client's header lines, and what the gateway adds to them (RFC 9110, 7.6). That is also
what it learns of the client: X-Forwarded-*, Forwarded (RFC 7239), X-Real-IP, Via. What of its answer goes on, too."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gateway.deadlines import NEVER
from gateway.http import Body, Exchange, Headers, WrappedBody
from gateway.http.fields import CONNECTION_FIELDS, PLAIN_CONNECTION, may_be_trailer, nominated, tokens, values
from gateway.http.forwarded import forwarded_elements, items, parameter
from gateway.http.header_filter import STRANGERS
from gateway.http.paths import is_plain, merge_slashes, normalise

PSEUDONYM: Final = "gateway"  # in Via, beside the version in which a request came (RFC 9110, 7.6.3)
VIA: Final = f"1.1 {PSEUDONYM}".encode()

TIME_LEFT: Final = b"x-envoy-expected-rq-timeout-ms"
"""How many milliseconds a backend has to answer. Envoy's name for it, which backends and proxies know."""

REREADABLE_LIMIT: Final = 64 * 1024  # bytes of a request body that are kept until the response begins
_REMEMBERED_HOST: Final = 100  # characters of a host; longer ones are written anew each time

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PREFIX: Final = re.compile(rb"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
_OPEN_TO_RULES: Final = frozenset({b"x-forwarded-port", b"x-forwarded-prefix"})  # who sets or removes them has the word


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. An event stream may be silent for hours, and so has a bound of its own."""

    connect: float = 5.0
    response_header: float = 60.0
    idle: float = 300.0
    event_stream_idle: float = NEVER
    total: float = NEVER
    # The keys of the files that say so: those of all routes, or of the one.
    response_header_key: str = "timeouts.response_header"
    idle_key: str = "timeouts.idle"
    total_key: str = "timeouts.total"

    @property
    def said_of_header(self) -> str:
        """How long the head of a response may take, and what says so."""
        return f"{self.response_header:g} s ({self.response_header_key})"

    @property
    def said_of_total(self) -> str:
        """The same of the whole exchange."""
        return "none" if self.total == NEVER else f"{self.total:g} s ({self.total_key})"


class Request:
    """The request of one exchange to a connection; the same for all of its attempts. (Made for every request.)"""

    __slots__ = ("exchange", "headers", "host", "timeouts")

    def __init__(self, exchange: Exchange, headers: Headers, host: bytes, timeouts: Timeouts) -> None:
        self.exchange = exchange  # method, target, body, deadline
        self.headers = headers  # all lines but Host and Expect
        self.host = host  # that the backend is asked for; empty: its own
        self.timeouts = timeouts


def request_headers(exchange: Exchange) -> Headers:
    """The lines that go to the backend: the client's, less those that end here, plus what the gateway says of it."""
    received, fields = exchange.headers, exchange.fields
    only = exchange.header_filter or STRANGERS
    known, hidden, folds = only.known, exchange.hidden_headers, only.underscores  # which CGI and WSGI read as hyphens
    headers: Headers = []
    for line in received:
        name = line[0]
        if known[name] if name in known else only.passes(name):
            if hidden and (name.replace(b"_", b"-") if folds else name) in hidden:
                continue
            headers.append(line)
    if b"connection" in fields and (named := nominated(received, fields)):
        headers = [line for line in headers if line[0] not in named]
    headers += exchange.extra_headers
    if exchange.model is None:
        headers += forwarding_headers(exchange)
    else:  # where clients of models are is no provider's business
        headers.append((b"x-request-id", exchange.request_id.encode()))
    if exchange.body is not None:
        headers.append(
            (b"content-length", fields[b"content-length"].lstrip(b"0") or b"0")
            if b"content-length" in fields
            else (b"transfer-encoding", b"chunked")
        )
    elif b"content-length" in fields:
        headers.append((b"content-length", b"0"))
    if b"te" in fields and b"trailers" in tokens(received, b"te"):
        headers += [(b"te", b"trailers"), (b"connection", b"te")]
    return headers


def response_headers(headers: Headers, fields: dict[bytes, bytes] | None = None) -> Headers:
    """The lines of an upstream's response that reach the client. `fields` are the same as a mapping, if at hand."""
    fields = dict(headers) if fields is None else fields
    dropped = CONNECTION_FIELDS
    plain = fields.get(b"connection", b"close") in PLAIN_CONNECTION and len(fields) == len(headers)  # it names nothing
    if not plain and (named := nominated(headers, fields)):
        dropped |= named
    return [line for line in headers if line[0] not in dropped]


def forwarding_headers(exchange: Exchange) -> Headers:
    """The header lines that describe the client to the backend."""
    fields = exchange.fields
    via = VIA if exchange.http_version == "1.1" else f"{exchange.http_version} {PSEUDONYM}".encode()
    if b"via" in fields:
        via = b", ".join([*values(exchange.headers, b"via"), via])
    host, path = exchange.host, exchange.target_path
    lines = [(b"x-request-id", exchange.request_id.encode()), (b"via", via)]
    if exchange.peer_trusted:
        lines += _of_a_proxy(exchange)
    else:
        of_a_stranger = _remembered if len(host) <= _REMEMBERED_HOST else _of_a_stranger
        lines += of_a_stranger(exchange.peer, host, exchange.scheme)
    came = exchange.original_path
    # A plain path that does not end in what is sent has no prefix: the usual case.
    may_have = (
        came.endswith(path) or exchange.peer_trusted or path == "/" or "%" in came or "//" in came or "/." in came
    )
    if may_have and (prefix := prefix_before(exchange, path)):
        lines.append((b"x-forwarded-prefix", prefix))
    hidden = exchange.hidden_headers
    if b"x-forwarded-port" not in hidden and b"x-forwarded-prefix" not in hidden:
        return lines
    return [line for line in lines if line[0] not in _OPEN_TO_RULES or line[0] not in hidden]


def prefix_before(exchange: Exchange, path: str) -> bytes:
    """The prefix of the client's path in front of this one, after one that a trusted proxy had removed before."""
    prefix = b"" if exchange.original_path == path else _taken_off(exchange.original_path, path)
    if exchange.peer_trusted and b"x-forwarded-prefix" in exchange.fields:
        before = exchange.fields[b"x-forwarded-prefix"].rstrip(b"/")
        return before + prefix if _PREFIX.fullmatch(before) else prefix
    return prefix


def _taken_off(came: str, path: str) -> bytes:
    if not is_plain(came):
        forms = normalise(came.encode("latin-1"))
        came = forms.sent if forms.sent.endswith(path) else forms.path
    if came.endswith(path):
        came = came[: len(came) - len(path)]
    elif path != "/":
        return b""
    return merge_slashes(came).encode("latin-1")


def _of_a_stranger(peer: str, host: str, scheme: str) -> tuple[tuple[bytes, bytes], ...]:
    """Forwarded headers of an untrusted peer: nothing that it claims about itself counts."""
    address, name, proto = peer.encode(), host.encode("latin-1"), scheme.encode()
    return (
        (b"x-forwarded-for", address),
        (b"x-forwarded-proto", proto),
        (b"x-forwarded-host", name),
        (b"x-forwarded-port", _port(host, scheme)),
        (b"forwarded", _element(peer, name, proto)),
        (b"x-real-ip", address),
    )


_remembered: Final = lru_cache(4096)(_of_a_stranger)


def _of_a_proxy(exchange: Exchange) -> Headers:
    """Forwarded headers behind a trusted proxy: its own, with the proxy added."""
    headers, host, scheme = exchange.headers, exchange.host, exchange.scheme
    forwarded_for, forwarded = _chains(headers, exchange.fields)
    outer = exchange.outer_host or host
    return [
        (b"x-forwarded-for", b", ".join([*forwarded_for, exchange.peer.encode()])),
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", outer.encode("latin-1")),
        (b"x-forwarded-port", exchange.outer_port.encode() or _port(outer, scheme)),
        (
            b"forwarded",
            b", ".join([*forwarded, _element(exchange.peer, host.encode("latin-1"), scheme.encode())]),
        ),
        (b"x-real-ip", exchange.client.encode()),
    ]


def _chains(headers: Headers, fields: dict[bytes, bytes]) -> tuple[list[bytes], list[bytes]]:
    """The hops that the proxies wrote down, as X-Forwarded-For and as `Forwarded`.

    The one that the client's address was taken from stands as it came, and so does the other one if it has the same
    hops; else it is made anew, because a backend may read either.
    """
    stated: list[bytes] = []
    if b"forwarded" in fields:
        stated = [hop for element in forwarded_elements(headers) if (hop := parameter(element, b"for"))]
    if b"x-forwarded-for" not in fields:
        return stated, _lines(headers, b"forwarded")
    hops = items(headers, b"x-forwarded-for")
    if hops != stated:
        return _lines(headers, b"x-forwarded-for"), [b"for=" + _node(hop.decode("latin-1")) for hop in hops]
    return _lines(headers, b"x-forwarded-for"), _lines(headers, b"forwarded")


def _lines(headers: Headers, name: bytes) -> list[bytes]:
    """The lines of a list as they came, without the empty elements at their ends (RFC 9110, 5.6.1.1)."""
    return [line for value in values(headers, name) if (line := value.strip(b", \t"))]


def _port(host: str, scheme: str) -> bytes:
    """The port of a `Host` value, or the usual one of the scheme."""
    _, colon, port = host.rpartition(":")
    if colon and port.isdigit() and port.isascii():
        return port.encode()
    return b"443" if scheme == "https" else b"80"


def _element(peer: str, host: bytes, scheme: bytes) -> bytes:
    return b"for=%b;host=%b;proto=%b" % (_node(peer), _quoted(host), scheme)


def _node(address: str) -> bytes:
    """A node identifier of RFC 7239, 6: IPv6 addresses stand in brackets and quotes."""
    if address.replace(".", "").isdecimal():
        return address.encode()
    text = address.encode("latin-1")
    return _quoted(b"[%b]" % text if text.count(b":") > 1 and not text.startswith(b"[") else text)


def _quoted(value: bytes) -> bytes:
    """A token (RFC 9110, 5.6.2) as it is; anything else in double quotes, which do not end within it."""
    return value if _TOKEN.fullmatch(value) else b'"%b"' % value.replace(b"\\", b"").replace(b'"', b"")


def with_time_left(headers: Headers, deadline: float) -> Headers:
    """These lines, and how long the exchange may take from now on, in place of what the client says of that."""
    left = max(1, int((deadline - asyncio.get_running_loop().time()) * 1000))
    return [*(line for line in headers if line[0] != TIME_LEFT), (TIME_LEFT, b"%d" % left)]


def request_trailers(exchange: Exchange, trailers: Headers) -> Headers:
    """The trailer lines that go to the backend: none that could pass for a header it goes by."""
    hidden = exchange.hidden_headers
    passes = (exchange.header_filter or STRANGERS).passes
    lines = [line for line in trailers if may_be_trailer(line[0]) and passes(line[0])]
    return [line for line in lines if line[0].replace(b"_", b"-") not in hidden]


def announced_length(exchange: Exchange) -> int:
    """The length of the request body; -1 where it is unknown."""
    length = exchange.fields.get(b"content-length")
    return -1 if length is None else int(length)


class Rereadable(WrappedBody):
    """A Body that can be read once more, as long as what was read of it is not over REREADABLE_LIMIT."""

    __slots__ = ("_kept", "_size", "_unread")

    def __init__(self, body: Body) -> None:
        super().__init__(body, body.read)
        self._kept: list[bytes] = []
        self._size = 0
        self._unread: list[bytes] = []  # of what was read before, the last piece first

    @property
    def ready(self) -> bool:
        return bool(self._unread) or self._body.ready

    async def read(self) -> bytes:
        if self._unread:
            return self._unread.pop()
        data = await self._body.read()
        self._size += len(data)
        if self._size <= REREADABLE_LIMIT:
            self._kept.append(data)
        else:
            self._kept.clear()
        return data

    def rewind(self) -> bool:
        """Read it from the beginning again; False where that is not possible."""
        if self._size > REREADABLE_LIMIT:
            return False
        self._unread = [piece for piece in reversed(self._kept) if piece]
        return True
