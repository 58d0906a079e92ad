"""Several servers of one endpoint, and what is said to all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Response
from gateway.mcp.answers import EVENTS, JSON, sentence_of
from gateway.mcp.bodies import AnswerTooLarge, answer_body
from gateway.mcp.events import EventReader, TooLarge
from gateway.mcp.json_text import Change, NotJson, as_object, replaced
from gateway.mcp.merging import Missing
from gateway.mcp.messages import INITIALIZE, REFUSED, BadMessage, Message, read_answers
from gateway.mcp.names import for_client, uri_form
from gateway.mcp.passing import Limits, check_plain, events_of
from gateway.mcp.sealing import ServerSession, Session
from gateway.mcp.server import LATE, Server, SessionLost
from gateway.mcp.versions import DISCOVER, SESSION_HEADER
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.mcp")

TOGETHER_SECONDS: Final = 15.0  # for what all servers are asked
LATE_SECONDS: Final = 2.0  # from when one of them has answered: the others do not wait longer for those that hang

_GIVING_UP_SECONDS: Final = 0.1
_BOTH: Final = (b"accept", JSON + b", " + EVENTS)
_LONGEST_SAID: Final = 200  # characters of an error that are passed on as a reason
_LOG_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Group:
    """`about` is the instructions for models; `full`: errors say what names hosts, files, services and settings,
    too."""

    name: str
    servers: Mapping[str, Server]  # by name, in the order in which their tools are listed
    limits: Limits
    about: str = ""
    full: bool = False
    log: ThrottledLog = field(default_factory=lambda: ThrottledLog(logger.warning, _LOG_SECONDS))

    def server(self, name: str) -> Server | None:
        """The server of this name, as names of tools or URIs have it."""
        found = self.servers.get(name)
        return found or next((each for each in self.servers.values() if uri_form(each.name) == name), None)


@dataclass(frozen=True, slots=True)
class Asked:
    """A message of a client, and the session that it belongs to; without one, it stands for itself."""

    exchange: Exchange
    message: Message
    session: Session | None

    def at(self, server: Server) -> ServerSession | None:
        """The session at this server. Raises BadMessage where there is none."""
        found = None if self.session is None else self.session.of(server.name)
        if self.session is not None and found is None:
            sentence = f"the server {server.name} was missing when this session began; begin a new one"
            raise BadMessage(REFUSED, sentence, self.message.id or "null", 200)
        return found


@dataclass(frozen=True, slots=True)
class Said:
    """The answer of one of several servers to a request."""

    message: Message  # as clients see it
    session: ServerSession


def body_of(message: Message, changes: Sequence[Change]) -> bytes:
    """A message with these changes, alone, also where it is one of a batch."""
    shifted = [(start - message.start, end - message.start, new) for start, end, new in changes]
    return replaced(message.raw, shifted).encode()


def give_up(response: Response) -> None:
    """Read no more of an answer."""
    if not isinstance(response.body, bytes):
        response.body.close()


def refusal(message: Message) -> str:
    """The text of an error; empty if the message is none."""
    part = message.members.get("error")
    if part is None:
        return ""
    said = as_object(part.value).get("message")
    return f"it says: {said[:_LONGEST_SAID]}" if isinstance(said, str) else "it answers with an error"


def unexpected(response: Response, server: str) -> GatewayError:
    """The failure of a server whose answer is none by the protocol."""
    detail = f"{server} answers {response.status}, and not as MCP has it"
    return GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, detail, public_detail=detail)


async def said_by_all(
    group: Group, asked: Asked, servers: Sequence[Server], change: Callable[[Server], list[Change]] | None = None
) -> tuple[dict[str, Said], list[Missing]]:
    """The answers of these servers to a message, which `change` alters for each, and the servers without one."""

    late: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def one(server: Server) -> Said | Missing | None:
        try:
            body = body_of(asked.message, change(server) if change is not None else [])
            return await _said(group, asked, server, body, late)
        except GatewayError as error:
            group.log.line("the MCP server %s does not answer: %s", server.name, error)
            return Missing(server.name, sentence_of(error, full=group.full))
        except NotJson:
            return Missing(server.name, "its answer cannot be read")
        except (SessionLost, BadMessage):
            return Missing(server.name, "it does not know the session any more")

    tasks = {server: asyncio.ensure_future(one(server)) for server in servers}
    await _in_time(list(tasks.values()), late)
    answers = [task.result() if task.done() else _late(group, server) for server, task in tasks.items()]
    said = {each.session.server: each for each in answers if isinstance(each, Said)}
    return said, [each for each in answers if isinstance(each, Missing)]


async def _in_time(tasks: Sequence[asyncio.Task[Said | Missing | None]], late: asyncio.Future[None]) -> None:
    """Wait for all of them, or until some have been late for long enough. Those are asked no more: `late` says so where
    their breakers are to learn of it."""
    waiting = set(tasks)
    try:
        while waiting and not any(task.done() and not isinstance(task.result(), Missing) for task in tasks):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            _, waiting = await asyncio.wait(waiting, timeout=LATE_SECONDS)
            late.set_result(None)
        if waiting:
            await asyncio.wait(waiting, timeout=_GIVING_UP_SECONDS)
    finally:
        for task in tasks:
            task.cancel()


def _late(group: Group, server: Server) -> Missing:
    """One that has begun to answer, and stopped."""
    group.log.line("the MCP server %s does not answer: %s", server.name, LATE)
    return Missing(server.name, LATE)


async def _said(group: Group, asked: Asked, server: Server, body: bytes, late: asyncio.Future[None]) -> Said | None:
    """The answer of one server; None if the message is not a request."""
    exchange, message = copy(asked.exchange), asked.message
    exchange.attempts = ()
    begins = message.method in (INITIALIZE, DISCOVER)
    session = None if begins else asked.at(server)
    seconds = min(server.timeout, TOGETHER_SECONDS)
    try:
        response = await server.send(exchange, session, body, seconds=seconds, lines=[_BOTH], late=late)
        if not message.is_request:
            give_up(response)
            return None
        if response.status == 404 and session is not None and session.id:
            give_up(response)
            raise SessionLost
        answer = await final(group, response, message, server.name)
    finally:
        asked.exchange.attempts += exchange.attempts
        asked.exchange.upstream = exchange.upstream
    ids = [value.decode("latin-1") for name, value in response.headers if name == SESSION_HEADER]
    endpoint = exchange.attempts[-1].endpoint if exchange.attempts else ""
    if changes := for_client(answer, server):
        several = read_answers(replaced(answer.text, changes))
        answer = next(each for each in several if each.key == answer.key)
    return Said(answer, ServerSession(server.name, ids[0] if ids else "", endpoint))


async def final(group: Group, response: Response, request: Message, server: str = "a server") -> Message:
    """The message of a response that answers a request. Raises GatewayError."""
    stream, largest = events_of(response), group.limits.answer
    try:
        check_plain(response)
        if stream is None:
            text = (await answer_body(response.body, largest)).decode()
            found = [each for each in read_answers(text) if each.is_answer and each.key in (request.key, "")]
            if found:
                return found[0]
        else:
            reader = EventReader(largest)
            while piece := await stream.read():
                for event in reader.feed(piece):
                    for message in read_answers(event.data) if event.data else ():
                        if message.is_answer and message.key == request.key:
                            return message
    except (NotJson, UnicodeDecodeError, AnswerTooLarge, TooLarge, IndexError):
        pass
    finally:
        give_up(response)
    raise unexpected(response, server)
