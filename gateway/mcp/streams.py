"""Streams of events on their way from a server to a client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Body, Headers
from gateway.mcp.events import Event, EventReader, TooLarge, written
from gateway.mcp.json_text import Change, NotJson, replaced
from gateway.mcp.messages import INTERNAL_ERROR, Message, error_text, read_answers

logger = logging.getLogger("gateway.mcp")

Failure = Callable[[GatewayError, str], str]
"""An error as the answer to the request of an id."""

Changes = Callable[[Message], list[Change]]
"""The edits of a server's message. Raises NotJson."""


class PassedStream:
    """A server's stream as received, with the edits of `changes` in each message, and with an error for each request
    that remains unanswered. A Body.

    `changes` is None where there is nothing to change, `event_id` says what an id of an event is for the client;
    `requests` are those that it answers; `first` is sent in front of all else.
    """

    __slots__ = (
        "_body",
        "_changes",
        "_event_id",
        "_failure",
        "_first",
        "_ids",
        "_over",
        "_reader",
        "_resumable",
        "_server",
    )

    def __init__(
        self,
        server: str,
        body: Body,
        changes: Changes | None,
        largest: int,
        requests: Sequence[Message] = (),
        first: Sequence[str] = (),
        failure: Failure | None = None,
        event_id: Callable[[str], str] | None = None,
    ) -> None:
        self._server = server
        self._body = body
        self._changes = changes
        self._event_id = event_id
        self._reader = EventReader(largest)
        self._ids = {each.key: each.id for each in requests}
        self._first = b"".join(map(written, first))
        self._failure = failure
        self._resumable = False  # the client can ask for the rest by the id of an event
        self._over = False

    @property
    def trailers(self) -> Headers:
        return self._body.trailers

    @property
    def ready(self) -> bool:
        return bool(self._first) or self._over

    async def read(self) -> bytes:
        """See `Body`."""
        first, self._first = self._first, b""
        if first:
            return first
        while not self._over:
            try:
                piece = await self._body.read()
                events = self._reader.feed(piece) if piece else [each for each in [self._reader.rest()] if each]
                self._over = not piece
                passed = b"".join(map(self._passed, events))
            except TooLarge:
                self._body.close()
                passed = self._ended(GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, "an event is too large"))
            except GatewayError as error:
                if not self._ids or (self._resumable and error.kind is not ErrorKind.UPSTREAM_TIMEOUT):
                    raise
                passed = self._ended(error)
            else:
                if self._over and not self._resumable:
                    passed += self._unanswered()
            if passed:
                return passed
        return b""

    def close(self) -> None:
        """See `Body`."""
        self._body.close()

    def _ended(self, error: GatewayError) -> bytes:
        """The stream ends here, for this reason."""
        self._over = True
        if self._failure is None:
            raise error
        ids, self._ids = self._ids.values(), {}
        return b"".join(written(self._failure(error, id), name="message") for id in ids)

    def _unanswered(self) -> bytes:
        if not self._ids or self._failure is None:
            return b""
        return self._ended(GatewayError(ErrorKind.UPSTREAM_RESET, f"{self._server} ended its stream without an answer"))

    def _passed(self, event: Event) -> bytes:
        self._resumable = self._resumable or bool(event.id)
        id = event.id if event.id is None or self._event_id is None else self._event_id(event.id)
        unchanged = event.raw if id == event.id else event.with_data(event.data, id)
        if not event.data or (self._changes is None and not self._ids):
            return unchanged
        try:
            messages = read_answers(event.data)
            changes = [] if self._changes is None else [each for one in messages for each in self._changes(one)]
        except NotJson as error:
            return self._unreadable(event, error)
        self._settle(messages)
        return event.with_data(replaced(event.data, changes), id) if changes else unchanged

    def _settle(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.is_answer:
                self._ids.pop(message.key, None)

    def _unreadable(self, event: Event, error: NotJson) -> bytes:
        """Unreadable data passes only if no tool is hidden."""
        if self._changes is None:
            return event.raw
        logger.warning("%s has sent a message that is left out: %s", self._server, error)
        if len(self._ids) != 1:
            return b""
        sentence = "the server's answer cannot be read"
        return written(error_text(self._ids.popitem()[1], INTERNAL_ERROR, sentence), name="message")
