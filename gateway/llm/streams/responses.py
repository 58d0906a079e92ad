"""Streams of OpenAI's responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.llm.streams.errors import ProviderError, error_in
from gateway.llm.streams.reader import Kind, Reader, name_of, size
from gateway.llm.usage import members, of_openai

TOOLS: Final = frozenset({"function_call", "custom_tool_call", "local_shell_call", "mcp_call"})
"""Calls in an output that need a result, or that reach servers of tools."""

_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.cancelled"})
_BEGINNINGS: Final = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "keepalive",
        "response.reasoning_summary_part.added",
    }
)
_MOST_ITEMS: Final = 1024
_LATEST: Final = 2**40  # Unix time
_UNKNOWN: Final = ProviderError(500, "server_error", "")


class ResponsesReader(Reader):
    """The usage is that of the last event, which is one of a completed, an incomplete or a failed response."""

    __slots__ = ("_created", "_id", "_items", "_sequence")

    def __init__(self) -> None:
        super().__init__()
        self._id = ""
        self._created = 0  # Unix time, as the provider says it
        self._sequence = -1  # number of the last event
        self._items: set[int] = set()  # calls that are counted, by their place in the output

    def marked_done(self) -> None:
        """Of servers that follow the API. Only the last event of a response ends it."""

    def read_document(self, document: Mapping[str, Any]) -> Kind:
        said = document.get("type")
        kind = said if isinstance(said, str) else ""
        sequence = document.get("sequence_number")
        if isinstance(sequence, int):
            self._sequence = sequence
        if "response" in document:
            response = members(document["response"])
            self.answered_by(response.get("model"))
            if not self._id and isinstance(response.get("id"), str):
                self._id, self._created = name_of(response["id"]), _time(response.get("created_at"))
            if usage := of_openai(response.get("usage")):
                self.usage, self._counted = usage, self.text_bytes
            if response.get("status") == "failed" or response.get("error"):
                self.error = error_in(response) or self.error
        if kind == "response.failed":
            self._over = True
            self.error = self.error or _UNKNOWN
            return Kind.ERROR
        if kind in _ENDS:
            self.done = self._over = True
            return Kind.FINAL
        if kind in _BEGINNINGS:
            return Kind.LIFECYCLE
        if kind in ("response.output_item.added", "response.output_item.done"):
            return self._item(document.get("output_index"), members(document.get("item")))
        if kind == "response.content_part.added":
            return (
                Kind.CONTENT
                if any(members(document.get("part")).get(n) for n in ("text", "refusal"))
                else Kind.LIFECYCLE
            )
        return self._other(kind, document)

    def _item(self, index: object, item: Mapping[str, Any]) -> Kind:
        kind = str(item.get("type"))
        if kind in TOOLS and isinstance(index, int) and index not in self._items and len(self._items) < _MOST_ITEMS:
            self._items.add(index)
            self.called(item.get("name") or kind)
        empty = kind in ("message", "reasoning") and not any(
            item.get(name) for name in ("content", "summary", "encrypted_content")
        )
        return Kind.LIFECYCLE if empty else Kind.CONTENT

    def _other(self, kind: str, document: Mapping[str, Any]) -> Kind:
        if kind == "error" or "error" in document:
            self.error = error_in({"error": document.get("error") or document}) or ProviderError(
                500, "server_error", ""
            )
            return Kind.ERROR
        if kind.endswith(".delta"):
            self.text_bytes += size(document.get("delta"))
        return Kind.CONTENT if kind.startswith("response.") else Kind.OTHER

    def cut_off(self, sentence: str, *, within_event: bool = False) -> bytes:
        """A `response.failed`, with the id and the next number of this stream."""
        response = {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": "failed",
            "error": {"code": "server_error", "message": sentence},
            "incomplete_details": None,
            "model": self.model,
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
        }
        event = {"type": "response.failed", "sequence_number": self._sequence + 1, "response": response}
        return (b"\n\n" if within_event else b"") + b"event: response.failed\ndata: " + orjson.dumps(event) + b"\n\n"


def _time(value: object) -> int:
    """Unix time, as far as it is one."""
    return int(value) if isinstance(value, int | float) and 0 < value < _LATEST else 0
