"""Exchange, Response, Handler: a request on its way, what comes back, and the one seam between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Headers = list[tuple[bytes, bytes]]
"""Header lines in their order; names in lower case, values without surrounding white space."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


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

    async def run(self, receive: Receive, send: Send) -> None:
        """Accept the client, and carry messages both ways until either side ends. Takes `websocket.connect` itself."""
        ...

    def close(self, code: int) -> None:
        """End both sides with this close code (RFC 6455, 7.4.1)."""
        ...


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
    verdict: Literal["allow", "deny", "shadow-deny", "unknown"]  # unknown: only in an explanation, where nobody is asked
    reason: str


@dataclass(slots=True)
class Exchange:
    """One request on its way, and what was decided about it so far."""

    request_id: str
    method: str
    path: str  # normalised, percent-encoded
    query: bytes  # without the "?"
    headers: Headers
    fields: dict[bytes, bytes]  # header name -> its last value
    scheme: str
    host: str  # as the client sent it, with a port if it sent one
    peer: str  # the address at the other end of the connection
    peer_trusted: bool  # whether the peer is a proxy that is believed about the client
    client: str  # the client's address, as far as trusted proxies vouch for it
    http_version: str = "1.1"
    certificate: bytes | None = None  # of the client, in PEM, where the TLS connection ends here
    websocket: bool = False
    body: Body | None = None
    early_hints: Callable[[Headers], Awaitable[None]] | None = None  # passes on a 103 (RFC 8297)
    # What was decided.
    trace_id: str | None = None  # of the trace that it belongs to (W3C Trace Context)
    route: str | None = None
    target_path: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    identity: Identity | None = None
    claimed_consumer: str | None = None  # whose credential was refused, where that is known
    decisions: tuple[Decision, ...] = ()
    deadline: float = float("inf")  # loop time by which all must be over
    extra_headers: tuple[tuple[bytes, bytes], ...] = ()  # for the backend, beside the client's own
    hidden_headers: frozenset[bytes] = frozenset()  # of the client's, not for the backend
    # What came of it.
    upstream: str | None = None
    endpoint: str | None = None
    attempts: int = 0
    upstream_seconds: float | None = None  # until the response head
    error: BaseException | None = None


@dataclass(slots=True)
class Outcome:
    """What came of an exchange as the client saw it."""

    at: float  # Unix time
    started: float  # time.perf_counter()
    status: int = 0
    received: int = 0  # body bytes
    sent: int = 0  # body bytes
    seconds: float = 0.0


Report = Callable[[Exchange, Outcome], None]
"""Whoever wants to know of every exchange that is over: a log, metrics. Must not raise, and must not wait."""


@dataclass(slots=True)
class Response:
    """Status, headers, and a body that is either bytes or a stream."""

    status: int
    headers: Headers
    body: bytes | Body = b""
    session: WebSocketSession | None = None  # status 101 only


Handler = Callable[[Exchange], Awaitable[Response]]
