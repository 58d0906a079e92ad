"""Exchange, Response, Handler: a request on its way, what comes back, and the one seam between them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from gateway.http.attempt import Attempt

if TYPE_CHECKING:
    from gateway.http.header_filter import HeaderFilter

logger = logging.getLogger("gateway")

Headers = list[tuple[bytes, bytes]]
"""Header lines in their order; names in lower case, values without surrounding white space."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
_NOTHING_HIDDEN: Final[frozenset[bytes]] = frozenset()
_NO_ATTEMPTS: Final[tuple[Attempt, ...]] = ()
_NEVER: Final = float("inf")


class Body(Protocol):
    """A message body that streams: the request's, read by the upstream side, or the response's, read by the app."""

    @property
    def trailers(self) -> Headers:
        """The trailer section; complete once `read` has answered b""."""
        ...

    @property
    def ready(self) -> bool:
        """Whether `read` would answer at once."""
        ...

    async def read(self) -> bytes:
        """The next piece, of any size above zero; b"" at the end. Raises GatewayError when the body is cut short."""
        ...

    def close(self) -> None:
        """Give up what is still to come, and free what it holds. Safe to call at any time, any number of times."""
        ...


class WebSocketSession(Protocol):
    """An upstream that takes this WebSocket, ready to be joined to the client's."""

    handshake: Headers  # the lines of the 101 that are about the WebSocket, beside Connection and Upgrade

    async def run(self, receive: Receive, send: Send, headers: Headers) -> None:
        """Accept the client of an ASGI server with these headers, and carry messages both ways until either side ends.
        Takes `websocket.connect` itself."""
        ...

    def close(self, code: int) -> None:
        """End both sides with this close code (RFC 6455, 7.4.1)."""
        ...


class WholeBody:
    """A Body that is there as a whole, with its trailers."""

    __slots__ = ("_data", "trailers")

    def __init__(self, data: bytes, trailers: Headers) -> None:
        self._data = data
        self.trailers = trailers

    @property
    def ready(self) -> bool:
        return True

    async def read(self) -> bytes:
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        self._data = b""


class WrappedBody:
    """A body whose pieces are read through `read`, which counts, keeps or changes them. All else is `body`'s own.

    `ready` says whether `read` would answer at once, where that is not what `body` says.
    """

    __slots__ = ("_body", "_read", "_ready")

    def __init__(
        self, body: Body, read: Callable[[], Awaitable[bytes]], ready: Callable[[], bool] | None = None
    ) -> None:
        self._body = body
        self._read = read
        self._ready = ready

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return self._body.ready if self._ready is None else self._ready()

    async def read(self) -> bytes:
        return await self._read()

    def close(self) -> None:
        self._body.close()


class Deferred:
    """What must be closed when a request is over. Shared by an exchange and its copies."""

    __slots__ = ("_closes", "_over")

    def __init__(self, *, over: bool = False) -> None:
        self._closes: list[Callable[[], object]] = []
        self._over = over

    def add(self, close: Callable[[], object]) -> None:
        """Call `close` at the end; at once where the end has been already."""
        if self._over:
            _close(close)
        else:
            self._closes.append(close)

    def close(self) -> None:
        """Call everything, the last first. One that raises is logged, and stops no other."""
        self._over = True
        while self._closes:
            _close(self._closes.pop())


_OVER: Final = Deferred(over=True)  # of every exchange that has ended without deferring anything


def _close(close: Callable[[], object]) -> None:
    try:
        close()
    except BaseException:  # it may be the code of others, which may raise anything
        logger.exception("what a request held could not be closed")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, as one of the schemes that the route accepts found out."""

    consumer: str
    scheme: str  # the name of the scheme that recognised the caller
    tenant: str | None = None
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)  # of a token, as it has them
    fingerprint: str = ""  # of the credential, for logs: never the credential itself


@dataclass(frozen=True, slots=True)
class Decision:
    """What one rule said of an exchange."""

    rule: str  # `rate_limit:per-consumer`
    # "unknown" only in an explanation, for which no other service is asked.
    verdict: Literal["allow", "deny", "shadow-deny", "unknown"]
    reason: str


class Expectation:
    """A client that may wait for a 100 (Continue) before it sends its body (RFC 9110, 10.1.1)."""

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending = True  # until its body is read, which is when it gets the 100


_ATTRIBUTES: Final = (
    "attempts",
    "bare_query",
    "body",
    "cache",
    "certificate",
    "claimed_consumer",
    "client",
    "deadline",
    "decisions",
    "deferred",
    "early_hints",
    "error",
    "expectation",
    "extra_headers",
    "fields",
    "header_filter",
    "headers",
    "hidden_headers",
    "host",
    "http_version",
    "identity",
    "method",
    "original_path",
    "outer_host",
    "outer_port",
    "parameters",
    "path",
    "peer",
    "peer_trusted",
    "query",
    "query_concealed",
    "request_id",
    "route",
    "scheme",
    "target_path",
    "trace_id",
    "upstream",
    "websocket",
)


class Exchange:
    """One request on its way, and what was decided about it so far. (No dataclass: one is made for every request.)

    It owns what must be closed when it ends: see `defer`.
    """

    __slots__ = _ATTRIBUTES

    def __init__(
        self,
        request_id: str,
        method: str,
        path: str,  # as the client sent it; from matching on, in the route's own form
        query: bytes,  # without the "?"
        headers: Headers,
        fields: dict[bytes, bytes],  # header name -> its last value
        scheme: str,
        host: str,  # as the client sent it, with a port if it sent one
        peer: str,  # the address at the other end of the connection
        peer_trusted: bool,  # whether the peer is one of `trusted_proxies`
        client: str,  # the client's address, as far as trusted proxies vouch for it
        http_version: str = "1.1",
    ) -> None:
        self.request_id = request_id
        self.method = method
        self.path = path
        self.original_path = path  # stays as the client sent it
        self.query = query
        self.query_concealed = False  # a credential was taken out of the query
        self.bare_query = False  # the target has a "?" with nothing behind it
        self.headers = headers
        self.fields = fields
        self.scheme = scheme
        self.host = host
        self.peer = peer
        self.peer_trusted = peer_trusted
        self.client = client
        self.http_version = http_version
        self.header_filter: HeaderFilter | None = None  # which of its headers go to the backend; None: the usual
        self.outer_host = ""  # what a trusted proxy says that the client asked for; empty where it is `host`
        self.outer_port = ""  # the same
        self.certificate: bytes | None = None  # of the client, in PEM, where the TLS connection ends here
        self.websocket = False
        self.body: Body | None = None
        self.expectation: Expectation | None = None
        self.early_hints: Callable[[Headers], Awaitable[None]] | None = None  # passes on a 103 (RFC 8297)
        # What was decided.
        self.trace_id: str | None = None  # of the trace that it belongs to (W3C Trace Context)
        self.route: str | None = None
        self.target_path = ""
        self.parameters = _NO_PARAMETERS
        self.identity: Identity | None = None
        self.claimed_consumer: str | None = None  # whose credential was refused, where that is known
        self.decisions: tuple[Decision, ...] = ()
        self.deadline = _NEVER  # loop time by which all must be over
        self.extra_headers: tuple[tuple[bytes, bytes], ...] = ()  # for the backend, beside the client's own
        self.hidden_headers: frozenset[bytes] = _NOTHING_HIDDEN  # of the client's, not for the backend
        # What came of it.
        self.upstream: str | None = None
        self.attempts = _NO_ATTEMPTS  # the last one may still go on
        self.error: BaseException | None = None
        self.cache: str | None = None  # what the response cache did, where the route has one: hit, miss, stale, ...
        self.deferred: Deferred | None = None  # made when something is deferred, or the exchange copied or over

    def defer(self, close: Callable[[], object]) -> None:
        """Have `close` called when the request is over, whatever happened to it: as the last the first.

        It must not wait, and may be called though nothing is left to close. After the end it is called at once.
        """
        self._shared().add(close)

    def close(self) -> None:
        """The request is over: close what was deferred."""
        if self.deferred is None:
            self.deferred = _OVER
        else:
            self.deferred.close()

    def _shared(self) -> Deferred:
        if self.deferred is None:
            self.deferred = Deferred()
        return self.deferred

    def __copy__(self) -> Exchange:
        """The same request: what the copy defers is closed at the end of the original."""
        self._shared()
        made = Exchange(
            self.request_id,
            self.method,
            self.path,
            self.query,
            self.headers,
            self.fields,
            self.scheme,
            self.host,
            self.peer,
            self.peer_trusted,
            self.client,
        )
        for name in _ATTRIBUTES:
            setattr(made, name, getattr(self, name))
        return made

    def query_part(self) -> bytes:
        """The query with its "?", as it follows the path; empty where the client sent neither."""
        return b"?" + self.query if self.query or self.bare_query else b""


class Outcome:
    """What came of an exchange as the client saw it."""

    __slots__ = ("at", "received", "seconds", "sent", "started", "status")

    def __init__(self, at: float, started: float, status: int = 0) -> None:
        self.at = at  # Unix time
        self.started = started  # time.perf_counter()
        self.status = status
        self.received = 0  # body bytes
        self.sent = 0  # body bytes
        self.seconds = 0.0


Report = Callable[[Exchange, Outcome], None]
"""Called with every exchange that is over: a log, metrics. Must not raise, and must not wait."""


@dataclass(slots=True)
class Response:
    """Status, headers, and a body that is either bytes or a stream."""

    status: int
    headers: Headers
    body: bytes | Body = b""
    session: WebSocketSession | None = None  # status 101 only


Handler = Callable[[Exchange], Awaitable[Response]]
