"""Streams of Gemini's generateContent. Each event is an answer of its own; nothing but a finish reason says the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.llm.apis import Family
from gateway.llm.streams.errors import error_in
from gateway.llm.streams.reader import Kind, Reader, size
from gateway.llm.usage import members, of_gemini

_MOST_CANDIDATES: Final = 1024


class GeminiReader(Reader):
    """The usage is counted up: the last one counts."""

    family: Family = "gemini"

    __slots__ = ("_candidates", "signed")

    def __init__(self) -> None:
        super().__init__()
        self.signed: Callable[[str], None] | None = None  # is told the signatures of thoughts
        self._candidates: dict[int, bool] = {}  # those that have begun, and whether they had a finish reason

    @property
    def finished(self) -> bool:
        return self.done and all(self._candidates.values())

    def read_document(self, document: Mapping[str, Any]) -> Kind:
        """Also of an answer that is whole, or one of an array of them."""
        if "error" in document and (error := error_in(document)):
            self.error = error
            return Kind.ERROR
        self.answered_by(document.get("modelVersion"))
        self.usage = of_gemini(document.get("usageMetadata")) or self.usage
        blocked = members(document.get("promptFeedback")).get("blockReason")
        kind = Kind.FINAL if blocked else Kind.LIFECYCLE
        self.done = self.done or bool(blocked)
        candidates = document.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            said = members(candidate)
            if self._content(members(said.get("content")).get("parts")):
                kind = Kind.CONTENT
            index = said.get("index")
            place = index if isinstance(index, int) else 0
            ended = bool(said.get("finishReason"))
            if place in self._candidates or len(self._candidates) < _MOST_CANDIDATES:
                self._candidates[place] = self._candidates.get(place, False) or ended
            if ended:
                self.done = True
                kind = Kind.FINAL if kind is Kind.LIFECYCLE else kind
        if "usageMetadata" in document:
            self._counted = self.text_bytes
        return kind

    def _content(self, parts: object) -> bool:
        found = False
        for part in parts if isinstance(parts, list) else ():
            for name, value in members(part).items():
                if not value or name == "thought":
                    continue
                found = True
                if name in ("thoughtSignature", "thought_signature") and self.signed is not None:
                    self.signed(str(value))
                elif name == "text":
                    self.text_bytes += size(value)
                elif name == "functionCall":
                    call = members(value)
                    self.called(call.get("name"))
                    self.text_bytes += len(str(call.get("args", "")))
        return found
