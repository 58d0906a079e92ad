"""Streams that are no conversation: of speech, transcripts and images. They have their usage in one of the events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.llm.streams.errors import error_in
from gateway.llm.streams.reader import Kind, Reader, size
from gateway.llm.usage import members, of_openai


class OtherReader(Reader):
    """Every event is content; the last one has a type that ends so, or is `[DONE]`."""

    __slots__ = ()

    def read_document(self, document: Mapping[str, Any]) -> Kind:
        if error := error_in(document):
            self.error = error
            return Kind.ERROR
        self.answered_by(document.get("model"))
        self.text_bytes += size(document.get("delta"))
        if usage := of_openai(members(document.get("usage"))):
            self.usage, self._counted = usage, self.text_bytes
        if str(document.get("type")).endswith((".done", ".completed")):
            self.done = True
        return Kind.CONTENT
