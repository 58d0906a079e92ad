"""One MCP server, as an endpoint of the gateway uses it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Handler, Headers, Response
from gateway.http.bodies import WholeBody
from gateway.http.decisions import allow, deny
from gateway.mcp.messages import CALL, CANCELLED, INVALID_PARAMS, LISTEN, BadMessage, Message
from gateway.mcp.sealing import ServerSession
from gateway.mcp.tools import Allowed, Patterns
from gateway.mcp.versions import SESSION_HEADER, VERSION_HEADER
from gateway.upstream.cluster import Cluster
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.retry import Retries, RetrySettings

_NOT_COPIED: Final = frozenset({b"accept-encoding", b"content-encoding", b"content-length", SESSION_HEADER})


LATE: Final = "it has not answered, though others have"
MOST_TASKS: Final = 100  # notifications to a server in flight
NOTICE_SECONDS: Final = 5.0


_LONGEST_SHOWN: Final = 100  # characters
_NAME: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class SessionLost(Exception):
    """The endpoint that a session began with is not there any more."""


@dataclass(frozen=True, slots=True)
class ToolRule:
    """Settings of some tools. `count` raises GatewayError if they may not be called as often as that."""

    timeout: float | None  # seconds; None: that of the server
    count: Handler | None


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """`guard` puts what stands in front of the cluster, such as a breaker, before a way to it."""

    name: str
    path: str
    cluster: Cluster = field(repr=False)
    guard: Callable[[Handler], Handler] = field(repr=False)
    allowed: Allowed = field(repr=False)
    headers: Headers = field(repr=False)  # that it gets in place of the client's
    authorization: bool  # it gets that of the client
    timeout: float  # seconds
    patterns: Patterns = field(repr=False)  # of the names of tools that `rules` are for
    rules: Sequence[ToolRule] = field(repr=False)
    tasks: set[asyncio.Future[None]] = field(default_factory=set, repr=False)

    def describe(self) -> str:
        """For `explain`: what it is called, and where it is."""
        return f"{self.name}: {self.cluster.name}{self.path if '://' in self.cluster.name else ' ' + self.path}"

    async def send(
        self,
        exchange: Exchange,
        session: ServerSession | None,
        body: bytes | None = None,
        *,
        path: str = "",
        seconds: float = NEVER,
        lines: Headers | None = None,
        late: asyncio.Future[None] | None = None,
    ) -> Response:
        """The answer to a message of this exchange (or to its GET or DELETE), within so many seconds, body
        included, and until `late` is done.

        `lines` take the place of the client's of the same names. Raises GatewayError, and SessionLost.
        """
        sent = self._request(exchange, session, body, lines or [])
        sent.target_path = path or self.path
        if seconds != NEVER:
            sent.deadline = min(sent.deadline, asyncio.get_running_loop().time() + seconds)
        handler: Handler = self.cluster
        if session is not None and session.endpoint:
            handler = self._bound(session.endpoint)
        if late is not None:
            handler = partial(_in_time, handler, late)
        try:
            response = await self.guard(handler)(sent)
        finally:
            exchange.upstream = sent.upstream
            exchange.attempts += sent.attempts
        if response.status in _REDIRECTS:
            raise self._elsewhere(response)
        return response

    def _elsewhere(self, response: Response) -> GatewayError:
        """A redirect leads clients past the gateway, or nowhere."""
        if not isinstance(response.body, bytes):
            response.body.close()
        location = b", ".join(value for name, value in response.headers if name == b"location").decode("latin-1")
        detail = f"the MCP server {self.name} redirects to {shown(location)}; write its address as it is"
        return GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail)

    def _request(
        self, exchange: Exchange, session: ServerSession | None, body: bytes | None, lines: Headers
    ) -> Exchange:
        sent = copy(exchange)
        lines = [*lines, *self.headers]
        hidden = _NOT_COPIED | {name for name, _ in lines}
        if not self.authorization:
            hidden |= {b"authorization"}
        if session is not None and session.id:
            lines.append((SESSION_HEADER, session.id.encode("latin-1")))
        if session is not None and session.version:
            lines.append((VERSION_HEADER, session.version.encode("latin-1")))
            hidden |= {VERSION_HEADER}
        sent.attempts = ()
        sent.headers = [line for line in exchange.headers if line[0] not in hidden]
        sent.hidden_headers |= hidden  # in other spellings, too
        sent.extra_headers += tuple(lines)
        sent.body, sent.expectation = None, None
        if body is not None:
            sent.body = WholeBody(body, [])
            sent.headers.append((b"content-length", b"%d" % len(body)))
        sent.fields = dict(sent.headers)
        return sent

    def _bound(self, address: str) -> Handler:
        """The way to this endpoint and no other. Raises SessionLost."""
        endpoints = self.cluster.upstream.endpoints
        others = [each for each in endpoints if each.label != address]
        if len(others) == len(endpoints):
            raise SessionLost
        if not others:
            return self.cluster
        once = replace(self.cluster, retries=Retries(RetrySettings(1, 1), self.cluster.retries.budget))
        return _Bound(once, others)

    def cancel(self, exchange: Exchange, session: ServerSession | None, id: str) -> None:
        """Send a cancellation of the request with this id, which is JSON. Does not wait."""
        if len(self.tasks) < MOST_TASKS:
            body = f'{{"jsonrpc":"2.0","method":"{CANCELLED}","params":{{"requestId":{id},"reason":"timeout"}}}}'
            task = asyncio.ensure_future(self._notify(exchange, session, body.encode()))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _notify(self, exchange: Exchange, session: ServerSession | None, body: bytes) -> None:
        with contextlib.suppress(GatewayError, SessionLost):
            response = await self.send(copy(exchange), session, body, seconds=NOTICE_SECONDS)
            if not isinstance(response.body, bytes):
                response.body.close()

    # Calls of tools.

    async def admit(self, exchange: Exchange, message: Message, name: str) -> Headers:
        """Whether a tool may be called, and as often as that: lines for the answer. Raises BadMessage, GatewayError."""
        rule = f"mcp:{self.name}"
        if not self.allowed.has(name):
            called = message.params.get("name")
            sentence = f"there is no tool {shown(called if isinstance(called, str) else name)} here"
            error = GatewayError(ErrorKind.FORBIDDEN, f"{logged(name)} may not be called")
            try:
                deny(exchange, rule, error)
            except GatewayError:
                raise BadMessage(INVALID_PARAMS, sentence, message.id, 200) from None
        allow(exchange, rule, f"{logged(name)} may be called")
        found = self.rule_of(name)
        if found is None or found.count is None:
            return []
        return (await found.count(exchange)).headers

    def rule_of(self, name: str) -> ToolRule | None:
        """Settings of this tool beside those of all."""
        number = self.patterns.first_for_all_readers(name)
        return None if number is None else self.rules[number]

    def seconds_for(self, method: str, name: object) -> float:
        """How long a request may take, which calls the tool of this name if it calls one."""
        if method == LISTEN:
            return NEVER
        rule = self.rule_of(name) if method == CALL and isinstance(name, str) else None
        return self.timeout if rule is None or rule.timeout is None else rule.timeout


def shown(text: str) -> str:
    """A text of a client or server, in a form for error messages."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")


def logged(name: str) -> str:
    """A tool, as logs have it: anything that is no name of one may be a secret or a prompt."""
    return f"the tool {name}" if _NAME.fullmatch(name) else "a tool whose name is none"


@dataclass(frozen=True, slots=True)
class _Bound:
    """A cluster without some of its endpoints. A Handler."""

    cluster: Cluster
    others: Sequence[Endpoint]

    async def __call__(self, exchange: Exchange) -> Response:
        return await self.cluster(exchange, self.others)


async def _in_time(handler: Handler, late: asyncio.Future[None], exchange: Exchange) -> Response:
    """The answer of a handler, with a time limit that counts as a failure for its breaker."""
    answering = asyncio.ensure_future(handler(exchange))
    try:
        await asyncio.wait((answering, late), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        raise GatewayError(ErrorKind.UPSTREAM_TIMEOUT, LATE, public_detail=LATE)
    finally:
        answering.cancel()
        del answering  # it has its error, and that this frame
