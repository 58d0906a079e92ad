"""One server behind an endpoint: every message is passed on as the client sent it, and every answer as it came.

What is changed: session ids are sealed, tools that may not be called are left out of lists, and messages that are
refused out of batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Body, Exchange, Headers, Response
from gateway.http.bodies import WholeBody
from gateway.limits.held_bodies import HeldBodies
from gateway.mcp.answers import EVENTS, JSON, accepted, answer, failed, failure_text, refused
from gateway.mcp.bodies import AnswerTooLarge, answer_body, begun, check_media_type, request_body
from gateway.mcp.json_text import NotJson, elements, replaced, skip
from gateway.mcp.messages import (
    CALL,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    BadMessage,
    Message,
    Messages,
    error_text,
    is_strange_call,
    read,
    read_answers,
)
from gateway.mcp.sealing import PREFIX, NotOurs, Seal, ServerSession, Session
from gateway.mcp.server import Server, SessionLost
from gateway.mcp.streams import Changes, Failure, PassedStream
from gateway.mcp.tools import hide_denied, may_list_tools
from gateway.mcp.versions import SESSION_HEADER, check_headers, stands_alone, status_of_error

METHODS: Final = b"GET, POST, DELETE"
"""The methods that an endpoint accepts."""

_OF_THE_BODY: Final = frozenset(
    {b"content-length", b"etag", b"content-md5", b"digest", b"content-digest", b"accept-ranges"}
)


_HELD: Final = 1024**2  # bytes of an answer


def session_lost(id: str = "null") -> BadMessage:
    """The error that makes a client begin a new session, by the protocol."""
    return BadMessage(INVALID_REQUEST, "unknown session; begin a new one", id, 404)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Messages that are passed on, errors that answer others, and lines for the response."""

    passed: list[Message]
    errors: list[str]
    lines: Headers

    def refuse(self, message: Message, text: str) -> None:
        """A message is not passed on; if it is a request, this answers it."""
        if message.is_request:
            self.errors.append(text)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes."""

    body: int  # of what clients send
    answer: int  # of one message of a server, where it is read as a whole
    held: HeldBodies


@dataclass(frozen=True, slots=True)
class Passing:
    """An endpoint with one server. A Handler.

    `full`: errors say what names hosts, files, services and settings, too.
    """

    server: Server
    seal: Seal
    limits: Limits
    full: bool = False

    @property
    def changes(self) -> Changes | None:
        """The changes in the server's messages."""
        allowed = self.server.allowed
        return None if allowed.all else partial(hide_denied, allowed=allowed)

    async def __call__(self, exchange: Exchange) -> Response:
        if exchange.websocket or exchange.method not in ("POST", "GET", "DELETE"):
            raise method_not_allowed(exchange)
        try:
            return await (self._post(exchange) if exchange.method == "POST" else self._other(exchange))
        except BadMessage as error:
            return refused(error)

    async def _other(self, exchange: Exchange) -> Response:
        """A stream of what the server says by itself, or the end of a session."""
        check_headers(exchange, ())
        session = self._session(exchange)
        seconds = NEVER if exchange.method == "GET" else self.server.timeout
        try:
            response = await self.server.send(exchange, session, seconds=seconds)
        except SessionLost:
            raise session_lost() from None
        self._seal(response, exchange, session)
        stream = events_of(response)
        if stream is not None and self.changes is not None:
            check_plain(response)
            response.body = PassedStream(self.server.name, stream, self.changes, self.limits.answer)
            return unsized(response)
        return response

    async def _post(self, exchange: Exchange) -> Response:
        check_media_type(exchange)
        body = await request_body(exchange, self.limits.body, self.limits.held)
        found = read(body)
        requests = [each for each in found.several if each.is_request]
        id = requests[0].id if requests and not found.batch else "null"
        try:
            check_headers(exchange, found.several)
            session = self._session(exchange, id)
            taken = await self._admitted(exchange, found)
            if not taken.passed:
                return answer(taken.errors, batch=True) if taken.errors else accepted()
            if len(taken.passed) < len(found.several):
                body = found.only(taken.passed)
            seconds = [self.server.seconds_for(each.method, each.params.get("name")) for each in taken.passed]
            response = await self.server.send(exchange, session, body, seconds=max(seconds))
            if self.changes is not None or taken.errors:
                check_plain(response)
        except SessionLost:
            raise session_lost(id) from None
        except GatewayError as error:
            exchange.error = without_frames(error)
            return failed(error, exchange, requests, batch=found.batch, full=self.full)
        response.headers += taken.lines
        self._seal(response, exchange, session)
        requests = [each for each in taken.passed if each.is_request]
        stream = events_of(response)
        if stream is None:
            return await self._whole(response, exchange, session, requests, taken.errors)
        failure = failing(self.server, exchange, session, full=self.full)
        name, largest = self.server.name, self.limits.answer
        response.body = PassedStream(name, stream, self.changes, largest, requests, taken.errors, failure)
        return unsized(response)

    async def _admitted(self, exchange: Exchange, found: Messages) -> Admitted:
        """Which messages are passed on. Of a single one, raises BadMessage or GatewayError where it is not."""
        taken = Admitted([], [], [])
        for message in found.several:
            try:
                lines = await admitted(self.server, exchange, message)
                taken.lines.extend(() if found.batch else lines)
                taken.passed.append(message)
            except BadMessage as error:
                if not found.batch:
                    error.status = status_of_error(error.code, alone=stands_alone(exchange))
                    raise
                taken.refuse(message, error_text(error.id, error.code, error.sentence))
            except GatewayError as error:
                if not found.batch:
                    raise
                taken.refuse(message, failure_text(error, exchange, message.id, full=self.full))
        return taken

    async def _whole(
        self,
        response: Response,
        exchange: Exchange,
        session: ServerSession | None,
        requests: Sequence[Message],
        errors: Sequence[str],
    ) -> Response:
        """An answer that is no stream, with these errors beside it."""
        look = 200 <= response.status < 300 and not self.server.allowed.all
        try:
            if not isinstance(response.body, bytes) and any(
                name == b"content-type" and value.lower().startswith(JSON) for name, value in response.headers
            ):
                response.body = await begun(response.body, _HELD)  # until then, there can be an error in its place
            look = look and (not isinstance(response.body, bytes) or may_list_tools(response.body))
            if not look and not errors:
                return _sized(response)
            text = (await answer_body(response.body, self.limits.answer)).decode()
            messages = read_answers(text) if text.strip() else []
            changes = [change for each in messages for change in hide_denied(each, self.server.allowed)]
            text = replaced(text, changes)
            if errors:
                return self._beside(errors, text, response)
        except (NotJson, AnswerTooLarge, UnicodeDecodeError, IndexError):
            error = GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, f"the answer of {self.server.name} cannot be read")
            return failed(error, exchange, requests, full=self.full)
        except GatewayError as error:
            exchange.error = without_frames(error)
            for each in requests if error.kind is ErrorKind.UPSTREAM_TIMEOUT else ():
                self.server.cancel(exchange, session, each.id)
            return failed(error, exchange, requests, full=self.full)
        response.body = text.encode()
        return _sized(unsized(response))

    def _beside(self, errors: Sequence[str], text: str, response: Response) -> Response:
        """A batch, of which the gateway has refused a part."""
        start = skip(text, 0)
        theirs: Sequence[str] = [text.strip()] if text.strip() else []
        if theirs and text[start] == "[":
            theirs = [text[each.start : each.end] for each in elements(text, start)]
        kept = [line for line in response.headers if line[0] not in _OF_THE_BODY]
        headers = [line for line in kept if line[0] != b"content-type"]
        status = 200 if response.status == 202 else response.status
        return answer([*errors, *theirs], batch=True, status=status, headers=headers)

    def _session(self, exchange: Exchange, id: str = "null") -> ServerSession | None:
        """The session of a message with this id, None where it has none. Raises BadMessage."""
        given = exchange.fields.get(SESSION_HEADER)
        if given is None:
            return None
        text = given.decode("latin-1")
        if not text.startswith(PREFIX):  # it did not come from here: the server knows whether it is one
            return ServerSession(self.server.name, text)
        try:
            session = self.seal.opened(text, exchange).of(self.server.name)
        except NotOurs:
            session = None
        if session is None:
            raise session_lost(id)
        return session

    def _seal(self, response: Response, exchange: Exchange, session: ServerSession | None) -> None:
        """The client gets no session id of the server, but one that leads to it."""
        given = exchange.fields.get(SESSION_HEADER, b"")

        def ours(theirs: bytes) -> bytes:
            id = theirs.decode("latin-1")
            if session is not None and session.id == id:
                return given
            endpoint = exchange.attempts[-1].endpoint if exchange.attempts else ""
            made = Session((ServerSession(self.server.name, id, endpoint),))
            return self.seal.sealed(made, exchange).encode()

        response.headers = [
            (name, ours(value) if name == SESSION_HEADER else value) for name, value in response.headers
        ]


def failing(server: Server, exchange: Exchange, session: ServerSession | None, *, full: bool) -> Failure:
    """How the requests of a failed stream are answered: after a time-out the server is notified, if the protocol has
    a message for that."""

    def failure(error: GatewayError, id: str) -> str:
        exchange.error = without_frames(error)
        if error.kind is ErrorKind.UPSTREAM_TIMEOUT and not stands_alone(exchange):
            server.cancel(exchange, session, id)
        return failure_text(error, exchange, id, full=full)

    return failure


async def admitted(server: Server, exchange: Exchange, message: Message) -> Headers:
    """Lines for the answer, where a message may be passed on. Raises BadMessage, GatewayError."""
    if message.method != CALL:
        if not server.allowed.all and is_strange_call(message.method):
            raise BadMessage(METHOD_NOT_FOUND, "unknown method", message.id or "null", 200)
        return []
    name = message.params.get("name")
    if not isinstance(name, str):
        raise BadMessage(INVALID_PARAMS, "a call has the name of a tool", message.id, 200)
    return await server.admit(exchange, message, name)


def events_of(response: Response) -> Body | None:
    """The body of a response that has events, None of any other."""
    types = [value for name, value in response.headers if name == b"content-type"]
    if not 200 <= response.status < 300 or not any(each.lower().lstrip().startswith(EVENTS) for each in types):
        return None
    return WholeBody(response.body, []) if isinstance(response.body, bytes) else response.body


def unsized(response: Response) -> Response:
    """A response whose body may become another."""
    response.headers = [line for line in response.headers if line[0] not in _OF_THE_BODY]
    return response


def _sized(response: Response) -> Response:
    if isinstance(response.body, bytes) and not any(name == b"content-length" for name, _ in response.headers):
        response.headers.append((b"content-length", b"%d" % len(response.body)))
    return response


def method_not_allowed(exchange: Exchange) -> GatewayError:
    """The refusal of any other method."""
    detail = f"an MCP endpoint takes {METHODS.decode()}, not {exchange.method}"
    return GatewayError(ErrorKind.METHOD_NOT_ALLOWED, detail, headers=((b"allow", METHODS),))


def check_plain(response: Response) -> None:
    """Raises GatewayError for an answer that cannot be looked into."""
    if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in response.headers):
        if not isinstance(response.body, bytes):
            response.body.close()
        raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, "an answer is compressed, though that was not asked for")
