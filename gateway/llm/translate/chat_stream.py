"""Streams of chat/completions, put in order: one thing after the other, as Messages and Responses have them.

Deltas of several calls may alternate in a chat stream; in the others a block ends before the next begins. So while the
arguments of a call are incomplete, what belongs elsewhere waits, up to a megabyte.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from gateway.llm.sse import Event
from gateway.llm.translate import errors, reasoning
from gateway.llm.translate.chat_whole import text_of
from gateway.llm.translate.translation import BadAnswer
from gateway.llm.translate.writing import NOT_AN_OBJECT, SHORT, answer_text, event_document

MOST_WAITING = 1024 * 1024
_EACH = 64


class Writer(Protocol):
    """Writes what a chat stream says, in order, in the client's protocol.

    `begin` is called first, with the first chunk, for id and model; after `finish` or `error`, nothing.
    """

    @property
    def full(self) -> bool:
        """Whether there is more to keep of the answer than may be."""

    def begin(self, chunk: dict[str, Any]) -> bytes: ...

    def say(self, kind: str, field: str, text: str) -> bytes:
        """Text: of the answer, a refusal, or reasoning and the field that it came in."""

    def call(self, identifier: object, name: str) -> bytes:
        """A call of a tool begins."""

    def arguments(self, text: str) -> bytes:
        """More arguments of the call that was last begun."""

    def finish(self, reason: str, stop: object, usage: object) -> bytes:
        """The answer is complete. `stop` is the sequence at which it stopped, where the server says so."""

    def error(self, kind: str, sentence: str) -> bytes:
        """The answer failed; perhaps before it began."""

    def idle(self) -> bytes:
        """A sign of life, where the protocol has one."""


class Waiting:
    """A call of a tool, or text, on its way to the writer. Text has a kind and no name."""

    __slots__ = ("field", "identifier", "kind", "name", "parts")

    def __init__(self, kind: str, field: str = "") -> None:
        self.kind = kind
        self.field = field
        self.identifier: object = None
        self.name = ""
        self.parts: list[str] = []


class ChatStream:
    """Reads the chunks of a chat stream and has a writer write what they say."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._begun = False
        self._calls: dict[int, Waiting] = {}
        self._last: Waiting | None = None
        self._open: Waiting | None = None
        self._json = JsonEnd()
        self._queue: deque[Waiting] = deque()
        self._waits = 0
        self._called = False
        self._reason = ""
        self._stop: object = None
        self._usage: object = None
        self.finished = False

    def event(self, event: Event) -> bytes:
        if self.finished:
            return b""
        if event.data.strip() == b"[DONE]":
            return self._finish()
        if not event.data and len(event.raw) < SHORT:
            return self._writer.idle() if self._begun else b""
        chunk = event_document(event.data)
        if chunk is None:
            return self.cut_off("api_error", NOT_AN_OBJECT)
        if (error := errors.in_stream(chunk)) is not None:
            return self.cut_off(*error)
        try:
            written = self._chunk(chunk)
        except BadAnswer as error:
            written = self.cut_off("api_error", str(error))
        if self._waits > MOST_WAITING:
            written += self.cut_off("api_error", "Calls of tools alternate for longer than can be put in order.")
        if self._writer.full:
            written += self.cut_off("api_error", "The provider's answer is longer than can be translated.")
        return written

    def end(self) -> bytes:
        if self._reason and not self.finished:
            return self._finish()
        return self.cut_off("api_error", "The provider's stream ended before the answer was complete.")

    def cut_off(self, kind: str, sentence: str) -> bytes:
        if self.finished:
            return b""
        self.finished = True
        return self._writer.error(kind, sentence)

    def _chunk(self, chunk: dict[str, Any]) -> bytes:
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            return b""  # some servers begin with one that has neither an id nor a model
        written = b""
        if not self._begun:
            self._begun = True
            written = self._writer.begin(chunk)
        for choice in choices:
            if isinstance(choice, dict) and not choice.get("index"):
                written += self._choice(choice)
        return written

    def _choice(self, choice: dict[str, Any]) -> bytes:
        written = b""
        if isinstance(delta := choice.get("delta"), dict):
            if (thought := reasoning.of_delta(delta)) is not None:
                written += self._say("reasoning", *thought)
            for kind, field in (("text", "content"), ("refusal", "refusal")):
                if text := text_of(delta.get(field)):
                    written += self._say(kind, "", text)
            calls = delta.get("tool_calls")
            for part in calls if isinstance(calls, list) else ():
                if isinstance(part, dict):
                    written += self._part_of_call(part)
        if isinstance(reason := choice.get("finish_reason"), str) and reason:
            self._reason = reason
            self._stop = choice.get("stop_reason")
        return written

    def _say(self, kind: str, field: str, text: str) -> bytes:
        if not self._queue and (self._open is None or self._json.complete):
            self._open = None
            return self._writer.say(kind, field, text)
        last = self._queue[-1] if self._queue else None
        if last is None or last.kind != kind:
            last = Waiting(kind, field)
            self._queue.append(last)
        self._wait(last, text)
        return self._advance()

    def _part_of_call(self, part: dict[str, Any]) -> bytes:
        function = part.get("function")
        function = function if isinstance(function, dict) else {}
        name, text = function.get("name"), function.get("arguments")
        text = answer_text(text) if isinstance(text, dict) else text  # as some servers write them, all at once
        call = self._call_of(part, bool(name))
        if not call.identifier:
            call.identifier = part.get("id")
        if isinstance(name, str) and call is not self._open:
            call.name = call.name or name
        written = b""
        if isinstance(text, str) and text:
            if call is self._open:
                self._json.feed(text)
                written = self._writer.arguments(text)
            else:
                self._wait(call, text)
        return written + self._advance()

    def _call_of(self, part: dict[str, Any], named: bool) -> Waiting:
        """The call that a part belongs to. Some servers give no index, or the same one to all calls."""
        index, identifier = part.get("index"), part.get("id")
        call = self._calls.get(index) if isinstance(index, int) else self._last
        another = call is not None and named and identifier and call.identifier and identifier != call.identifier
        if call is None or another or (named and not isinstance(index, int)):
            call = Waiting("call")
            self._queue.append(call)
            self._waits += _EACH
            if isinstance(index, int):
                self._calls[index] = call
        self._last = call
        return call

    def _wait(self, thing: Waiting, text: str) -> None:
        thing.parts.append(text)
        self._waits += len(text) + _EACH

    def _advance(self, *, last: bool = False) -> bytes:
        """Write what waits, as far as what is open is complete. With `last`, all of it."""
        written = b""
        while self._queue and (self._open is None or self._json.complete or last):
            thing = self._queue[0]
            if thing.kind == "call" and not thing.name and not last:
                break
            self._queue.popleft()
            text = "".join(thing.parts)
            self._waits -= len(text) + _EACH * (len(thing.parts) + (thing.kind == "call"))
            thing.parts.clear()
            if thing.kind != "call":
                self._open = None
                written += self._writer.say(thing.kind, thing.field, text)
                continue
            if not thing.name and not text:
                continue
            self._open = thing
            self._called = True
            self._json = JsonEnd()
            written += self._writer.call(thing.identifier, thing.name)
            if text:
                self._json.feed(text)
                written += self._writer.arguments(text)
        return written

    def _finish(self) -> bytes:
        written = self._writer.begin({}) if not self._begun else b""
        written += self._advance(last=True)
        self.finished = True
        reason = self._reason or "stop"
        if self._called and reason in {"stop", "function_call"}:
            reason = "tool_calls"
        return written + self._writer.finish(reason, self._stop, self._usage)


class JsonEnd:
    """Finds where an object of JSON ends that comes in pieces, without keeping it."""

    __slots__ = ("_depth", "_escaped", "_quoted", "complete")

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self.complete = False

    def feed(self, text: str) -> None:
        """More of the text."""
        for character in text:
            if self._escaped:
                self._escaped = False
            elif self._quoted:
                self._escaped = character == "\\"
                self._quoted = character != '"'
            elif character == '"':
                self._quoted = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                self.complete = self._depth <= 0
