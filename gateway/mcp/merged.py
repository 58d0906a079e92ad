"""Streams of several servers as one."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.errors import GatewayError
from gateway.http import Body, Headers
from gateway.mcp.events import Event, EventReader, TooLarge
from gateway.mcp.json_text import Change, NotJson, replaced
from gateway.mcp.messages import Message, read_answers

logger = logging.getLogger("gateway.mcp")

LONGEST_ID: Final = 4096  # characters of an id of an event
_MOST_WAITING: Final = 16  # events that wait for the client, of all servers together
_FIRST_PAUSE: Final = 1.0  # seconds before a stream is opened anew; doubled each time
_LONGEST_PAUSE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Position:
    """Where in the streams of servers a client is, sealed in nothing: it could read as much in the streams themselves.

    `single`: of the stream that answers a request, which has one server.
    """

    ids: Mapping[str, str]
    single: bool

    def written(self) -> str:
        """As the id of an event; empty where it would be too long."""
        text = base64.urlsafe_b64encode(orjson.dumps([self.single, dict(self.ids)])).decode().rstrip("=")
        return text if len(text) <= LONGEST_ID else ""


def position(text: str) -> Position | None:
    """The parsed id of an event; None if it is none of ours."""
    try:
        made = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (ValueError, binascii.Error):
        return None
    match made:
        case [bool(single), dict(ids)] if len(ids) == 1 or not single:
            plain = all(isinstance(each, str) and each.isprintable() for each in ids.values())
            return Position(ids, single) if plain else None
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """A server that says something by itself.

    `open` gives its stream from behind the event of this id on, or None where there is none, and never will be; it
    raises GatewayError where there is none now. `changes` says how a message is to be changed, None: it is left out.
    """

    server: str
    open: Callable[[str], Awaitable[Body | None]]
    changes: Callable[[Message], list[Change] | None]


class MergedStream:
    """Everything that several servers say, after `first`. A stream that ends is opened anew while the client listens,
    and one that cannot be opened tried again. A Body."""

    __slots__ = ("_first", "_ids", "_largest", "_left", "_queue", "_tasks")

    def __init__(
        self,
        sources: Sequence[tuple[Source, asyncio.Future[Body | None]]],
        ids: Mapping[str, str],
        largest: int,
        first: bytes = b"",
    ) -> None:
        """`sources`: with what opens them; `ids`: where the client was."""
        self._first = first
        self._ids = dict(ids)
        self._largest = largest
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)
        self._left = len(sources)
        self._tasks = [asyncio.ensure_future(self._follow(source, opening)) for source, opening in sources]

    @property
    def trailers(self) -> Headers:
        return []

    @property
    def ready(self) -> bool:
        return bool(self._first) or not self._queue.empty()

    async def read(self) -> bytes:
        """See `Body`."""
        first, self._first = self._first, b""
        if first:
            return first
        while self._left or not self._queue.empty():
            piece = await self._queue.get()
            if piece:
                return piece
        return b""

    def close(self) -> None:
        """See `Body`."""
        for task in self._tasks:
            task.cancel()

    async def _follow(self, source: Source, opening: Awaitable[Body | None]) -> None:
        pause = _FIRST_PAUSE
        try:
            while True:
                try:
                    body = await opening
                except GatewayError as error:
                    logger.info("the stream of the MCP server %s cannot be opened: %s", source.server, error)
                else:
                    if body is None:
                        break
                    if await self._relay(source, body):
                        pause = _FIRST_PAUSE
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                opening = source.open(self._ids.get(source.server, ""))
        finally:
            self._left -= 1
            if not self._left and self._queue.empty():
                self._queue.put_nowait(b"")

    async def _relay(self, source: Source, body: Body) -> bool:
        """Pass on what comes, until the stream ends. Whether anything came."""
        reader, came = EventReader(self._largest), False
        try:
            while piece := await body.read():
                came = True
                for event in reader.feed(piece):
                    await self._queue.put(self._passed(source, event))
        except (GatewayError, TooLarge) as error:
            logger.info("the stream of %s has ended: %s", source.server, error or "an event was too large")
        finally:
            body.close()
        return came

    def _passed(self, source: Source, event: Event) -> bytes:
        id = event.id
        if not event.has_data and id is None:
            return event.raw
        if id:
            self._ids[source.server] = id
            id = Position(self._ids, single=False).written() or None
        data = event.data
        if not data:
            return event.with_data(data, id)
        try:
            changes = [source.changes(message) for message in read_answers(data)]
        except NotJson as error:
            logger.warning("%s has sent a message that is left out: %s", source.server, error)
            return b""
        if any(each is None for each in changes):
            return b""
        return event.with_data(replaced(data, [each for several in changes for each in several or ()]), id)
