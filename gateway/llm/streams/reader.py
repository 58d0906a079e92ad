"""Common parts of all stream readers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import orjson

from gateway.llm.answers import error_body
from gateway.llm.apis import Family
from gateway.llm.sse import Event, Part
from gateway.llm.streams.errors import ProviderError
from gateway.llm.streams.long_events import MOST_KEPT, usage_near_end
from gateway.llm.usage import Usage

MOST_TOOL_CALLS: Final = 1024
LONGEST_NAME: Final = 256


class Kind(Enum):
    """The kind of an event."""

    LIFECYCLE = "lifecycle"  # nothing of the answer: another provider may still give it
    CONTENT = "content"  # some of the answer
    USAGE_ASKED = "usage_asked"  # what the gateway asked for, and the client did not: to be taken out
    FINAL = "final"  # the answer ends, or has ended
    ERROR = "error"  # the provider says that it failed
    OTHER = "other"  # not known


class Reader:
    """Reads the events of one stream, each once. It holds no text, and little else."""

    family: Family = "openai"

    __slots__ = ("_counted", "_end", "_over", "_unread", "done", "error", "model", "text_bytes", "tool_calls", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None  # as far as the provider said it
        self.model = ""  # that answers, as the provider names it
        self.done = False  # the provider said that the answer is whole
        self.text_bytes = 0  # of the answer, in UTF-8, with what it thought and called
        self._counted = 0  # of the text, what had come when the usage was said the last time
        self._over = False  # its end has come: what is behind it counts for nothing
        self._end = b""  # of an event that is too long, as far as it has come
        self._unread = False  # the last event was too long to be read
        self.tool_calls: list[str] = []  # names of tools
        self.error: ProviderError | None = None

    @property
    def finished(self) -> bool:
        """Whether the answer is whole."""
        return self.done

    @property
    def is_cut_off(self) -> bool:
        """Whether a stream that ends here is neither whole nor one that says that it failed: then `cut_off` does.

        One that ends with an event that could not be read is none: that may have been its end.
        """
        return not self.finished and self.error is None and not self._unread

    @property
    def output_known(self) -> bool:
        """Whether the usage counts all that was delivered, so that nothing is to be estimated."""
        usage = self.usage
        return usage is not None and self._counted == self.text_bytes and (usage.output > 0 or not self.text_bytes)

    def read(self, event: Event) -> Kind:
        """The kind of this event. It never raises, whatever a provider sends."""
        if self._over:
            return Kind.OTHER
        if not event.data:
            if event.part is None:
                return Kind.LIFECYCLE
            # Take the usage out of the end of an event that is too long to be read.
            end = (self._end + event.raw)[-MOST_KEPT:]
            self._unread = event.part is Part.LAST
            self._end = b"" if self._unread else end
            if self._unread and (usage := usage_near_end(end, self.family)) is not None:
                self.usage, self._counted = usage, self.text_bytes
            return Kind.CONTENT
        self._unread = False
        if event.data == b"[DONE]":
            self.marked_done()
            return Kind.FINAL
        document = document_of(event.data)
        return Kind.OTHER if document is None else self.read_document(document)

    def read_document(self, document: Mapping[str, Any]) -> Kind:
        """The kind of an event with this document."""
        raise NotImplementedError

    def marked_done(self) -> None:
        """The mark came with which OpenAI ends streams of chat, and others end theirs."""
        self.done = self._over = True

    def cut_off(self, sentence: str, *, within_event: bool = False) -> bytes:
        """The bytes that say to the client's SDK that the answer is not whole.

        `within_event`: the client got the beginning of an event that never ended.
        """
        body = orjson.dumps(error_body(self.family, 502, "stream_cut_off", sentence))
        return (b"\n\n" if within_event else b"") + b"data: " + body + b"\n\n"

    def called(self, name: object) -> None:
        """The model calls a tool."""
        if isinstance(name, str) and name and len(self.tool_calls) < MOST_TOOL_CALLS:
            self.tool_calls.append(name_of(name))

    def answered_by(self, name: object) -> None:
        """The first name counts: servers leave it empty in what comes before and after."""
        if not self.model and isinstance(name, str):
            self.model = name_of(name)


def document_of(data: bytes) -> Mapping[str, Any] | None:
    """The object that an event holds; None where it is none."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            document = json.loads(data.decode("utf-8", "replace"))  # half a character, which some servers send
        except (ValueError, RecursionError):
            return None
    return document if isinstance(document, dict) else None


def name_of(text: str) -> str:
    """A name that a provider sent, as it can be written anywhere: not too long, and without halves of characters."""
    text = text[:LONGEST_NAME]
    return text if text.isascii() else text.encode(errors="replace").decode()


def size(text: object) -> int:
    """Bytes in UTF-8; 0 for what is no text."""
    if not isinstance(text, str):
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
