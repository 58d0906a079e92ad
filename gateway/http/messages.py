"""Exchange, Attempt, Response, Handler: a request on its way, what comes back, and the one seam between them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from gateway.errors import ErrorKind, OwnKind
from gateway.http.bodies import Body, Expectation, Headers, WebSocketSession

if TYPE_CHECKING:
    from gateway.driver import Driver
    from gateway.http.header_filter import HeaderFilter
    from gateway.http.model_record import ModelRecord
    from gateway.http.span import Span

logger = logging.getLogger("gateway")

REFUSALS: Final = frozenset({429, 503})
"""Statuses with which an endpoint says that it wants no more for now."""

_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
_NOTHING_HIDDEN: Final[frozenset[bytes]] = frozenset()
_NEVER: Final = float("inf")


class Deferred:
    """Resources to close when a request is over. Shared by an exchange and its copies."""

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
    """The decision of one rule about an exchange."""

    rule: str  # `rate_limit:per-consumer`
    # "unknown": what must be asked does not answer, or, to explain, is not asked. "answer": the rule does itself.
    verdict: Literal["allow", "deny", "shadow-deny", "unknown", "answer"]
    reason: str

    @property
    def refuses(self) -> bool:
        """Whether a request ends by it."""
        return self.verdict in ("deny", "unknown")


class Allowance(Protocol):
    """A limit in which requests are counted."""

    def left(self, state: Sequence[int]) -> str:
        """How much was left when its counts were these, in words."""
        ...


class RequestHead:
    """The head of a request, as it was read."""

    __slots__ = ("bare_query", "fields", "headers", "method", "path", "query", "version", "websocket")

    def __init__(
        self,
        method: str,
        version: str,  # "1.1"
        path: str,  # as the client sent it: octets as characters
        query: bytes,  # without the "?"
        headers: Headers,
        fields: dict[bytes, bytes],  # header name -> its last value
        bare_query: bool,  # the target has a "?" with nothing behind it
        websocket: bool,  # a handshake (RFC 6455, 4.1): what follows may be no HTTP
    ) -> None:
        self.method = method
        self.version = version
        self.path = path
        self.query = query
        self.headers = headers
        self.fields = fields
        self.bare_query = bare_query
        self.websocket = websocket


class Observer(Protocol):
    """Learns from attempts."""

    def ended(self, attempt: Attempt) -> None:
        """An attempt is over. Must not raise, and must not wait."""
        ...


class Attempt:
    """Filled in while it goes on, and reported once, when it is over; from then on nothing changes but `retry`.

    The counters of an endpoint, the access log, and what judges endpoints all read this.
    """

    # Defaults of the class: most attempts differ in few of them.
    waited: float = 0.0  # seconds, until there was a connection
    queued: float = 0.0  # of these, seconds in the queue for one: no time of the endpoint's
    connected: bool = False  # there was one; without it, the endpoint has seen nothing of the request
    reused: bool = False  # the connection had served others before
    seconds: float | None = None  # from then on until the head of the response
    took: float = 0.0  # seconds, until it failed or was given up, or the body that it streamed ended
    status: int = 0  # of the response; 0: none came
    retry_after: float = 0.0  # seconds for which a response asks to be left alone, in a refusal
    sent: int = 0  # body bytes
    received: int = 0  # body bytes
    failure: ErrorKind | OwnKind | None = None  # None: the response was whole, or its reader went away
    open_ended: bool = False  # the response ends with the connection: nothing shows whether it is complete
    unanswered: bool = False  # it failed before a byte of an answer came
    retry: str = ""  # why another attempt followed; empty where none did
    why_not: str = ""  # why none did, although what became of this one is tried again

    def __init__(
        self, endpoint: str, started: float, first: Observer | None = None, others: tuple[Observer, ...] = ()
    ) -> None:
        self.endpoint = endpoint  # its address
        self.started = started  # time.perf_counter(), when it was picked
        self._first = first
        self._others = others

    def end(self) -> None:
        """It is over. Safe to call any number of times."""
        first, self._first = self._first, None
        if first is not None:
            first.ended(self)
            for observer in self._others:
                observer.ended(self)
            self._others = ()

    def summary(self) -> dict[str, object]:
        """For logs: where, how it ended, after how many milliseconds (but for a queue), and why another followed."""
        seconds = (self.took if self.seconds is None else self.waited + self.seconds) - self.queued
        shown: dict[str, object] = {"endpoint": self.endpoint}
        if self.status:
            shown["status"] = self.status
        if self.failure is not None:
            shown["error"] = self.failure.slug
        shown["ms"] = int(seconds * 1e6 + 0.5) / 1e3
        if self.queued:
            shown["queued_ms"] = int(self.queued * 1e6 + 0.5) / 1e3
        shown["why_next"] = self.retry or None
        if self.why_not:
            shown["why_not"] = self.why_not
        return shown


_NO_ATTEMPTS: Final[tuple[Attempt, ...]] = ()
_NOT_COUNTED: Final[tuple[tuple[str, Allowance, Sequence[int]], ...]] = ()
_ATTRIBUTES: Final = (
    "attempts",
    "bare_query",
    "body",
    "cache",
    "certificate",
    "claimed_consumer",
    "client",
    "counted",
    "deadline",
    "decisions",
    "deferred",
    "driver",
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
    "model",
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
    "span",
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
        self.span: Span | None = None  # of the exchange, where it is recorded
        self.route: str | None = None
        self.target_path = ""
        self.parameters = _NO_PARAMETERS
        self.identity: Identity | None = None
        self.claimed_consumer: str | None = None  # whose credential was refused, where that is known
        self.decisions: tuple[Decision, ...] = ()
        self.counted = _NOT_COUNTED  # (rule, limit, its counts afterwards) of each limit in which it was counted
        self.deadline = _NEVER  # loop time by which all must be over
        self.extra_headers: tuple[tuple[bytes, bytes], ...] = ()  # for the backend, beside the client's own
        self.hidden_headers: frozenset[bytes] = _NOTHING_HIDDEN  # of the client's, not for the backend
        # What came of it.
        self.upstream: str | None = None
        self.attempts = _NO_ATTEMPTS  # the last one may still go on
        self.error: BaseException | None = None
        self.model: ModelRecord | None = None  # of a request to a model
        self.cache: str | None = None  # what the response cache did, where the route has one: hit, miss, stale, ...
        self.driver: Driver | None = None  # of the handler that it is in; None in a task
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
        """The same request: what the copy defers is closed at the end of the original. It goes ways of its own, without
        the driver."""
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
            self.http_version,
        )
        made.original_path = self.original_path
        made.query_concealed, made.bare_query = self.query_concealed, self.bare_query
        made.header_filter, made.outer_host, made.outer_port = self.header_filter, self.outer_host, self.outer_port
        made.certificate, made.websocket = self.certificate, self.websocket
        made.body, made.expectation, made.early_hints = self.body, self.expectation, self.early_hints
        made.trace_id, made.span = self.trace_id, self.span
        made.route, made.target_path, made.parameters = self.route, self.target_path, self.parameters
        made.identity, made.claimed_consumer = self.identity, self.claimed_consumer
        made.decisions, made.counted, made.deadline = self.decisions, self.counted, self.deadline
        made.extra_headers, made.hidden_headers = self.extra_headers, self.hidden_headers
        made.upstream, made.attempts, made.error = self.upstream, self.attempts, self.error
        made.model, made.cache, made.deferred = self.model, self.cache, self.deferred
        return made

    def query_part(self) -> bytes:
        """The query with its "?", as it follows the path; empty where the client sent neither."""
        return b"?" + self.query if self.query or self.bare_query else b""


class Outcome:
    """The outcome of an exchange as the client saw it."""

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


@dataclass(slots=True, init=False)
class Response:
    """Status, headers, and a body that is either bytes or a stream."""

    status: int
    headers: Headers
    body: bytes | Body
    session: WebSocketSession | None  # status 101 only

    def __init__(
        self, status: int, headers: Headers, body: bytes | Body = b"", session: WebSocketSession | None = None
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.session = session


Handler = Callable[[Exchange], Awaitable[Response]]
