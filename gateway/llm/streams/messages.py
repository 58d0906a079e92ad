"""Streams of Anthropic's messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway.llm.answers import error_body
from gateway.llm.apis import Family
from gateway.llm.streams.errors import error_in
from gateway.llm.streams.reader import Kind, Reader, size
from gateway.llm.usage import members, of_anthropic

_COUNTS: Final = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
)
_NONE: Final = (None, 0)
TOOLS: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})


class MessagesReader(Reader):
    """Counts of the first event and of the last are one usage, each count as the last that said it."""

    family: Family = "anthropic"

    __slots__ = ("_counts", "_output_said", "signed")

    def __init__(self) -> None:
        super().__init__()
        self.signed: Callable[[str], None] | None = None  # is told what is to go back to who made it
        self._counts: dict[str, Any] = {}
        self._output_said = False  # not only the number that stands in the first event, whatever the answer will be

    @property
    def output_known(self) -> bool:
        usage = self.usage
        return self._output_said and usage is not None and (usage.output > 0 or not self.text_bytes)

    def read_document(self, document: Mapping[str, Any]) -> Kind:
        kind = document.get("type")
        if kind == "content_block_delta":
            return self._delta(members(document.get("delta")))
        if kind == "content_block_start":
            return self._block(members(document.get("content_block")))
        if kind == "message_start":
            message = members(document.get("message"))
            self._note_container(message)
            self.answered_by(message.get("model"))
            self._merge(members(message.get("usage")), first=True)
        elif kind in ("message_delta", "message_stop"):
            self._merge(members(document.get("usage")), first=False)
            self._note_container(members(document.get("delta")))
            self._over = kind == "message_stop"
            self.done = self.done or self._over or bool(members(document.get("delta")).get("stop_reason"))
            return Kind.FINAL
        elif error := error_in(document):
            self.error = error
            return Kind.ERROR
        return Kind.LIFECYCLE if kind in ("message_start", "ping", "content_block_stop") else Kind.OTHER

    def _merge(self, said: Mapping[str, Any], *, first: bool) -> None:
        """By presence: servers that know a count only at the end leave it out at the beginning, or say 0."""
        for name in _COUNTS:
            if name in said and (name not in self._counts or said[name] not in _NONE):
                self._counts[name] = 0 if first and name == "output_tokens" else said[name]
        for name in ("output_tokens_details", "cache_creation"):
            if members(said.get(name)):
                self._counts[name] = said[name]
        if not first and "output_tokens" in said:
            self._output_said = True
        self.usage = of_anthropic(self._counts)

    def _note_container(self, said: Mapping[str, Any]) -> None:
        id = members(said.get("container")).get("id") if self.signed is not None else None
        if self.signed is not None and isinstance(id, str):
            self.signed(id)

    def _delta(self, delta: Mapping[str, Any]) -> Kind:
        found = False
        for name, value in delta.items():
            if name != "type" and value:
                found = True
                if name in ("text", "thinking", "partial_json"):
                    self.text_bytes += size(value)
                elif name == "signature" and self.signed is not None and isinstance(value, str):
                    self.signed(value)
        return Kind.CONTENT if found else Kind.LIFECYCLE

    def _block(self, block: Mapping[str, Any]) -> Kind:
        kind = str(block.get("type"))
        if kind in ("text", "thinking"):
            text = block.get(kind)
            self.text_bytes += size(text)
            return Kind.CONTENT if text else Kind.LIFECYCLE
        if kind == "redacted_thinking" and self.signed is not None and isinstance(block.get("data"), str):
            self.signed(block["data"])
        if kind.endswith("_tool_result") and self.signed is not None:
            made = members(block.get("content")).get("content")
            for each in made if isinstance(made, list) else ():
                if isinstance(id := members(each).get("file_id"), str):
                    self.signed(id)
        if kind in TOOLS:
            self.called(block.get("name"))
        return Kind.CONTENT

    def cut_off(self, sentence: str, *, within_event: bool = False) -> bytes:
        """An `error` event, which the SDKs raise. The last name of an event is its name: one that began becomes it."""
        body = orjson.dumps(error_body("anthropic", 502, "stream_cut_off", sentence))
        return (b"\n" if within_event else b"") + b"event: error\ndata: " + body + b"\n\n"
