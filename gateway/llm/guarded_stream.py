"""Streams that guardrails look at: what the client gets is behind what came by their window, no more.

Each text of an event belongs to a channel: that of a choice, a block, or the arguments of one call. Events wait in
their order until the texts in them cannot be a part of anything that is still to be found: until so many characters
have come behind them, or their channel has ended. Then they go on as they came, or with other texts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from gateway.llm import splice
from gateway.llm.answers import error_body
from gateway.llm.apis import Api
from gateway.llm.guardrails import Cut, Refused, Watch, without
from gateway.llm.passing import Turning
from gateway.llm.said_texts import Leaf, decoded, encoded, is_by_token, leaves, said, text_of, written
from gateway.llm.speaking import ModelError
from gateway.llm.sse import Event, EventSplitter
from gateway.llm.stream_channels import Place, ended_by, place_of, tool_of
from gateway.llm.streams.reader import document_of

MOST_WAITING: Final = 1024 * 1024
"""Bytes of events that wait, at least. More is let go when it has been looked at as far as it has come."""

MOST_OF_CHARACTER: Final = 512
"""Bytes of events that wait for each character of a longer window: some have no more than one each."""

MOST_CHANNELS: Final = 512
_STAGE: Final = "stream"


@dataclass(slots=True)
class _Channel:
    """One text that comes in parts. Places are characters from its beginning."""

    begin: int = 0  # of what is kept
    kept: str = ""
    settled: int = 0  # up to here nothing can change any more
    written: int = 0  # up to here it has gone on
    found: list[Cut] = field(default_factory=list)  # as of now, what is to be taken out
    made: int = 0  # where the last cut ends that is made, or begun

    @property
    def end(self) -> int:
        return self.begin + len(self.kept)

    def write(self, start: int, end: int) -> str:
        """The text from here to there without what is cut, which is final with that."""
        pieces: list[str] = []
        at = min(end, max(start, self.made))
        for cut in self.found:
            if cut.end <= at or cut.start >= end:
                continue
            pieces.append(self._from(at, max(at, cut.start)))
            if cut.start >= self.made:
                pieces.append(cut.replacement)
            self.made = cut.end
            at = min(end, cut.end)
        pieces.append(self._from(at, end))
        self.written = max(self.written, end)
        return "".join(pieces)

    def forget(self, window: int) -> None:
        """Keep only what a window needs."""
        begin = max(self.begin, min(self.written, self.end) - window)
        self.kept = self.kept[begin - self.begin :]
        self.begin = begin

    def _from(self, start: int, end: int) -> str:
        return self.kept[max(0, start - self.begin) : max(0, end - self.begin)]


class _Part(NamedTuple):
    """A text of an event: where it stands in its data, and in its channel."""

    span: splice.Span
    channel: _Channel
    start: int
    end: int


@dataclass(slots=True)
class _Waiting:
    """An event that waits."""

    event: Event
    changes: list[tuple[splice.Span, bytes]] = field(default_factory=list)
    parts: list[_Part] = field(default_factory=list)

    @property
    def is_settled(self) -> bool:
        return all(part.end <= part.channel.settled for part in self.parts)

    def written(self) -> bytes:
        """Its bytes, with the texts that may go on."""
        changes = list(self.changes)
        data = self.event.data
        for part in self.parts:
            before = decoded(data[part.span.start : part.span.end])
            after = part.channel.write(part.start, part.end)
            if after != before:
                changes.append((part.span, encoded(after)))
        return _with_data(self.event, splice.replaced(data, changes)) if changes else self.event.raw


class GuardedStream:
    """Guardrails on the events of one stream. See `Turning`."""

    def __init__(
        self,
        watch: Watch,
        api: Api,
        cut_off: Callable[[str], bytes],
        inner: Turning | None,
    ) -> None:
        """`api`: of the client; `cut_off`: of the reader, where there is no `inner`, which turns events first."""
        self._watch = watch
        self._guards = watch.on("stream")
        self._window = max(guard.window for guard in self._guards)
        self._most = max(MOST_WAITING, MOST_OF_CHARACTER * self._window)
        self._changes = any(guard.enforced for guard in self._guards)
        self._api = api
        self._cut_off = cut_off
        self._inner = inner
        self._splitter = EventSplitter()
        self._waiting: deque[_Waiting] = deque()
        self._size = 0  # bytes of what waits
        self._channels: dict[Place, _Channel] = {}
        self._tools: dict[object, str] = {}
        self.stop: Callable[[], None] | None = None  # ends the stream of the provider
        self.refusal: ModelError | None = None

    def event(self, event: Event) -> bytes:
        """Events that may be passed on after this one."""
        if self._inner is None:
            return self._take([event] if event.raw else [])
        return self._take(self._splitter.feed(self._inner.event(event)))

    def end(self) -> bytes:
        """All that waits, and what follows it."""
        if self._inner is None:
            return self._flushed()
        passed = self._take(self._splitter.feed(self._inner.end()))
        return passed + self._take(self._splitter.finish()) + self._flushed()

    def cut_off(self, kind: str, sentence: str) -> bytes:
        """All that waits, and the error of the protocol."""
        rest = self._flushed()
        if self.refusal is not None:
            return rest
        return rest + (self._cut_off(sentence) if self._inner is None else self._inner.cut_off(kind, sentence))

    def _take(self, events: list[Event]) -> bytes:
        if self.refusal is not None:
            return b""
        try:
            for event in events:
                self._look(event)
        except Refused as refused:
            return self._refuse(refused.error)
        return self._released()

    def _look(self, event: Event) -> None:
        waiting = _Waiting(event)
        if event.part is not None:
            self._watch.unreadable(_STAGE, "an event of the answer")
        document = document_of(event.data) if event.data else None
        if document is not None:
            self._look_into(waiting, document)
        elif event.data == b"[DONE]":
            self._settle(None)
        elif event.data:
            text = event.data.decode("utf-8", "replace")
            cuts = self._watch.look_now(self._watch.text(text, _STAGE, "assistant"), self._guards)
            if cuts:
                waiting.event = Event(event.name, b"", _with_data(event, without(text, cuts).encode()))
        self._waiting.append(waiting)
        self._size += len(event.raw)

    def _look_into(self, waiting: _Waiting, document: Mapping[str, Any]) -> None:
        """Have the guardrails look at the texts of an event."""
        data = waiting.event.data
        grown: dict[Place, _Channel] = {}
        for leaf in leaves(data):
            if is_by_token(leaf, data):
                if self._changes:
                    waiting.changes.append((leaf.span, b"null"))
                continue
            is_text = data[leaf.span.start] == ord(b'"') and not leaf.is_name
            place = place_of(self._api.name, document, leaf.path) if is_text else None
            if place is None:
                self._look_at_whole(waiting, leaf, document)
                continue
            text = decoded(data[leaf.span.start : leaf.span.end])
            channel = self._channel(place)
            waiting.parts.append(_Part(leaf.span, channel, channel.end, channel.end + len(text)))
            channel.kept += text
            if text:
                grown[place] = channel
        for place, channel in grown.items():
            self._settle_others(place, grown)
            self._look_at(place, channel)
        for group in ended_by(self._api.name, document):
            self._settle(group)

    def _look_at_whole(self, waiting: _Waiting, leaf: Leaf, document: Mapping[str, Any]) -> None:
        """Have the guardrails look at a text that is no part of another one, if it is something that is said."""
        inner = said(leaf, waiting.event.data, document)
        if inner is None:
            return
        text = text_of(self._watch, _STAGE, document, leaf.path, inner.text)
        if text.tool:
            self._tools[tool_of(document, leaf.path)] = text.tool
        if inner.text and (cuts := self._watch.look_now(text, self._guards)):
            waiting.changes.append((leaf.span, written(inner, cuts)))

    def _channel(self, place: Place) -> _Channel:
        channel = self._channels.get(place)
        if channel is None:
            if len(self._channels) >= MOST_CHANNELS:
                self._watch.unreadable(_STAGE, "an answer of so many parts")
                self._settle(None)
                self._channels.clear()
            channel = self._channels[place] = _Channel()
        return channel

    def _look_at(self, place: Place, channel: _Channel) -> None:
        """Look at what has come of a channel, with what came before it."""
        tool = self._tools.get(place.tool, "") if place.tool is not None else None
        text = self._watch.text(channel.kept, _STAGE, "assistant", tool=tool)
        cuts = self._watch.look_now(text, self._guards)
        begin = channel.begin
        channel.found = sorted(Cut(begin + cut.start, begin + cut.end, cut.replacement) for cut in cuts)
        channel.settled = max(channel.settled, channel.end - self._window)

    def _settle_others(self, place: Place, grown: Mapping[Place, _Channel]) -> None:
        """A text follows another one: the other has ended."""
        for other, channel in self._channels.items():
            if other.group == place.group and other not in grown:
                channel.settled = channel.end

    def _settle(self, group: object) -> None:
        """The texts of a group have ended, or all of them: None."""
        for place, channel in self._channels.items():
            if group is None or place.group == group:
                channel.settled = channel.end

    def _released(self) -> bytes:
        pieces: list[bytes] = []
        waiting = self._waiting
        touched: list[_Channel] = []
        while waiting and (waiting[0].is_settled or self._size > self._most or not self._changes):
            first = waiting.popleft()
            self._size -= len(first.event.raw)
            touched += [part.channel for part in first.parts]
            pieces.append(first.written())
        for channel in touched:
            channel.forget(self._window)
        return b"".join(pieces)

    def _flushed(self) -> bytes:
        self._settle(None)
        return self._released()

    def _refuse(self, error: ModelError) -> bytes:
        """Nothing more of the answer goes on, also not what waits."""
        self.refusal = error
        self._waiting.clear()
        self._channels.clear()
        if self.stop is not None:
            self.stop()
        sentence = error.public_detail or error.detail
        if self._api.name.startswith("openai.responses"):
            return self._cut_off(sentence) if self._inner is None else self._inner.cut_off("server_error", sentence)
        family = self._api.family
        body = orjson.dumps(error_body(family, error.kind.status, error.code, sentence))
        return (b"event: error\n" if family == "anthropic" else b"") + b"data: " + body + b"\n\n"


def _with_data(event: Event, data: bytes) -> bytes:
    """The bytes of an event with other data."""
    if event.data and event.raw.count(event.data) == 1:
        return event.raw.replace(event.data, data)
    name = b"event: " + event.name + b"\n" if event.name else b""
    lines = b"".join(b"data: " + line + b"\n" for line in data.replace(b"\r", b"\n").split(b"\n"))
    return name + lines + b"\n"
