"""Several servers behind an endpoint, as one.

Nothing is kept between requests: which servers a session has is in its id, which names belong to which server is in the
names, and ids of messages that servers have made have the server's name in front (see `names.py`). What can be asked of
one server goes there, what concerns all goes to all, and a server that does not answer is missing in the answer, which
says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from gateway.errors import GatewayError, without_frames
from gateway.http import Exchange, Headers, Response
from gateway.mcp.answers import accepted, answer, failed, failure_text, refused
from gateway.mcp.bodies import AnswerTooLarge, answer_body, check_media_type, request_body
from gateway.mcp.group import LATE_SECONDS, Asked, Group, body_of, final, give_up, said_by_all, unexpected
from gateway.mcp.json_text import NotJson, replaced, written
from gateway.mcp.listening import listened, subscribed
from gateway.mcp.lists import begun, discovered, listed, taking_part
from gateway.mcp.merged import Position, position
from gateway.mcp.merging import LISTS
from gateway.mcp.messages import (
    CALL,
    CANCELLED,
    INITIALIZE,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LISTEN,
    METHOD_NOT_FOUND,
    METHODS,
    REFUSED,
    BadMessage,
    Message,
    error_text,
    read,
    read_answers,
)
from gateway.mcp.names import answer_for_server, for_client, for_server
from gateway.mcp.passing import check_plain, events_of, failing, method_not_allowed, session_lost, unsized
from gateway.mcp.sealing import PREFIX, NotOurs, Seal, ServerSession, Session
from gateway.mcp.server import Server, SessionLost
from gateway.mcp.streams import PassedStream
from gateway.mcp.versions import (
    DISCOVER,
    NAME_HEADER,
    SESSION_HEADER,
    check_headers,
    stands_alone,
    status_of_error,
    written_header,
)

_AT_ONCE: Final = 8  # messages of a batch
_TO_ALL: Final = frozenset({"notifications/initialized", "notifications/roots/list_changed", CANCELLED})
_OFFERED_BY: Final = {"logging/setLevel": "l"}


@dataclass(frozen=True, slots=True)
class Several:
    """An endpoint with several servers. A Handler."""

    group: Group
    seal: Seal

    async def __call__(self, exchange: Exchange) -> Response:
        if exchange.websocket or exchange.method not in ("POST", "GET", "DELETE"):
            raise method_not_allowed(exchange)
        try:
            if exchange.method == "POST":
                return await self._post(exchange)
            check_headers(exchange, ())
            session = self._session(exchange, "null")
            if session is None:
                raise BadMessage(INVALID_REQUEST, "the session id is missing")
            return await (self._get(exchange, session) if exchange.method == "GET" else self._end(exchange, session))
        except BadMessage as error:
            return refused(error)

    def _session(self, exchange: Exchange, id: str) -> Session | None:
        given = exchange.fields.get(SESSION_HEADER, b"").decode("latin-1")
        if not given:
            return None
        try:
            session = self.seal.opened(given, exchange) if given.startswith(PREFIX) else None
        except NotOurs:
            session = None
        if session is None:
            raise session_lost(id)
        return session

    # One message.

    async def _post(self, exchange: Exchange) -> Response:
        check_media_type(exchange)
        found = read(await request_body(exchange, self.group.limits.body, self.group.limits.held))
        check_headers(exchange, found.several)
        first, alone = found.several[0], stands_alone(exchange)
        id = (not found.batch and first.id) or "null"
        begins = any(message.method == INITIALIZE for message in found.several)
        session = None if alone or begins else self._session(exchange, id)
        if session is None and not alone and not begins and first.method not in ("ping", DISCOVER):
            raise BadMessage(INVALID_REQUEST, "the session id is missing; begin with initialize", id)
        if not found.batch:
            return await self._answered(Asked(exchange, first, session))
        if begins:
            raise BadMessage(INVALID_REQUEST, "a session does not begin in a batch")
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(message: Message) -> str:
            async with gate:
                response = await self._answered(Asked(exchange, message, session))
                if not message.is_request:
                    give_up(response)
                    return ""
                try:
                    return (await final(self.group, response, message)).raw
                except GatewayError as error:
                    return failure_text(error, exchange, message.id, full=self.group.full)

        texts = [text for text in await asyncio.gather(*map(one, found.several)) if text]
        return answer(texts, batch=True) if texts else accepted()

    async def _answered(self, asked: Asked) -> Response:
        """The answer to a message, errors included."""
        exchange, message = asked.exchange, asked.message
        id = message.id or "null"
        try:
            return await (self._answer(asked) if message.is_request else self._notify(asked))
        except BadMessage as error:
            if not message.is_request:
                return accepted()
            error.status = status_of_error(error.code, alone=stands_alone(exchange))
            return refused(error)
        except SessionLost:
            return refused(session_lost(id))
        except NotJson:
            return refused(BadMessage(INVALID_PARAMS, "the message cannot be read", id))
        except GatewayError as error:
            exchange.error = without_frames(error)
            return failed(error, exchange, [message] if message.is_request else (), full=self.group.full)

    async def _answer(self, asked: Asked) -> Response:
        group, method = self.group, asked.message.method
        if method == INITIALIZE:
            result, session = await begun(group, asked)
            response = _result(asked, result)
            response.headers.append((SESSION_HEADER, self.seal.sealed(session, asked.exchange).encode()))
            return response
        if method in LISTS:
            return _result(asked, await listed(group, asked))
        if method == DISCOVER:
            return _result(asked, await discovered(group, asked))
        if method == LISTEN:
            return await subscribed(group, asked)
        if method in _OFFERED_BY:
            await said_by_all(group, asked, taking_part(group, asked, _OFFERED_BY[method]))
        elif method != "ping":
            return await self._directed(asked)
        return _result(asked, {})

    async def _notify(self, asked: Asked) -> Response:
        """A notification, or the answer to a request of a server."""
        message = asked.message
        found = answer_for_server(message) if message.method in ("", "notifications/progress") else None
        server = None if found is None else self.group.servers.get(found[0])
        if found is not None and server is not None:
            body = body_of(message, found[1])
            give_up(await server.send(asked.exchange, asked.at(server), body, seconds=server.timeout))
        elif message.method in _TO_ALL:
            await said_by_all(self.group, asked, taking_part(self.group, asked, ""))
        return accepted()

    # To one server.

    async def _directed(self, asked: Asked) -> Response:
        """A request that names what it is about, and so the server."""
        exchange, message = asked.exchange, asked.message
        found = for_server(message)
        server = None if found is None else self.group.server(found[0])
        if found is None or server is None:
            if message.method in METHODS:
                raise BadMessage(INVALID_PARAMS, "the request names nothing that is here", message.id)
            raise BadMessage(METHOD_NOT_FOUND, "several servers as one do not have this method", message.id)
        _, name, changes = found
        session = asked.at(server)
        lines: Headers = await server.admit(exchange, message, name) if message.method == CALL else []
        sent = [(NAME_HEADER, written_header(name))] if NAME_HEADER in exchange.fields else []
        seconds = server.seconds_for(message.method, name)
        response = await server.send(exchange, session, body_of(message, changes), seconds=seconds, lines=sent)
        response.headers += lines
        return await self._of_one(response, exchange, [message], server, session)

    async def _of_one(
        self,
        response: Response,
        exchange: Exchange,
        requests: Sequence[Message],
        server: Server,
        session: ServerSession | None,
    ) -> Response:
        """The answer of one server to these requests, as clients see it. Raises GatewayError, SessionLost."""
        response.headers = [line for line in response.headers if line[0] != SESSION_HEADER]
        if response.status == 404 and session is not None and session.id:
            give_up(response)
            raise SessionLost
        check_plain(response)
        stream = events_of(response)
        if stream is None:
            return await self._whole(response, requests, server)

        def event_id(id: str) -> str:
            return Position({server.name: id}, single=True).written() if id else ""

        failure = failing(server, exchange, session, full=self.group.full)
        changes, largest = partial(for_client, server=server), self.group.limits.answer
        response.body = PassedStream(server.name, stream, changes, largest, requests, (), failure, event_id)
        return unsized(response)

    async def _whole(self, response: Response, requests: Sequence[Message], server: Server) -> Response:
        """An answer that is no stream. What is none by JSON-RPC becomes one, with its status."""
        with contextlib.suppress(NotJson, UnicodeDecodeError, AnswerTooLarge, IndexError):
            text = (await answer_body(response.body, self.group.limits.answer)).decode()
            messages = read_answers(text)
            if any(each.is_answer for each in messages):
                body = replaced(text, [each for one in messages for each in for_client(one, server)]).encode()
                headers = [*unsized(response).headers, (b"content-length", b"%d" % len(body))]
                return Response(response.status, headers, body)
        give_up(response)
        if response.status < 300 or not requests:
            raise unexpected(response, server.name)
        kept = [line for line in response.headers if line[0] in (b"www-authenticate", b"retry-after")]
        text = error_text(requests[0].id, REFUSED, f"{server.name} answers {response.status}")
        return answer([text], batch=False, status=response.status, headers=kept)

    # Streams, and the end.

    async def _get(self, exchange: Exchange, session: Session) -> Response:
        """Messages that servers send on their own, or the rest of the stream of a request."""
        last = exchange.fields.get(b"last-event-id")
        at = Position({}, single=False) if last is None else position(last.decode("latin-1"))
        if at is None or not at.ids.keys() <= self.group.servers.keys():
            raise BadMessage(INVALID_REQUEST, "unknown event")
        try:
            if not at.single:
                return await listened(self.group, exchange, session, at.ids)
            ((name, id),) = at.ids.items()
            server, own = self.group.servers[name], session.of(name)
            if own is None:
                raise SessionLost
            lines = [(b"last-event-id", id.encode("latin-1", "replace"))]
            return await self._of_one(await server.send(exchange, own, lines=lines), exchange, [], server, own)
        except SessionLost:
            raise session_lost() from None

    async def _end(self, exchange: Exchange, session: Session) -> Response:
        """End the session everywhere."""

        async def one(server: Server, own: ServerSession) -> None:
            with contextlib.suppress(GatewayError, SessionLost):
                give_up(await server.send(copy(exchange), own, seconds=LATE_SECONDS))

        known = [(self.group.servers.get(own.server), own) for own in session.servers if own.id]
        await asyncio.gather(*(one(server, own) for server, own in known if server is not None))
        return Response(200, [(b"content-length", b"0")])


def _result(asked: Asked, result: Any) -> Response:
    """A result of the gateway's own; a text is JSON already."""
    text = result if isinstance(result, str) else written(result)
    return answer([f'{{"jsonrpc":"2.0","id":{asked.message.id},"result":{text}}}'], batch=False)
