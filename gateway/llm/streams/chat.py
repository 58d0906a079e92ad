"""Streams of OpenAI's chat completions and completions, and of the many servers that follow them.

Where they differ: usage in the last chunk, or in each, counted up; in a chunk with choices or without; in `x_groq`, or
in a choice. The end is `[DONE]`, a finish reason for each choice, or both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.llm.streams.errors import error_in
from gateway.llm.streams.reader import Kind, Reader, size
from gateway.llm.usage import members, of_openai

_MOST_CHOICES: Final = 1024


class ChatReader(Reader):
    """`asked`: the gateway has asked for the usage, the client has not."""

    __slots__ = ("_asked", "_calls", "_choices")

    def __init__(self, *, asked: bool = False) -> None:
        super().__init__()
        self._asked = asked
        self._choices: dict[int, bool] = {}  # those that have begun, and whether they had a finish reason
        self._calls: dict[tuple[int, int], str] = {}  # calls by choice and place: their ids

    @property
    def finished(self) -> bool:
        return self.done or (bool(self._choices) and all(self._choices.values()))

    def read_document(self, document: Mapping[str, Any]) -> Kind:
        if ("error" in document or "choices" not in document) and (error := error_in(document)):
            self.error = error
            return Kind.ERROR
        self.answered_by(document.get("model"))
        choices = document.get("choices")
        used = self._used(document, choices)
        if not choices or not isinstance(choices, list):
            kind = (Kind.USAGE_ASKED if self._asked else Kind.FINAL) if used else Kind.LIFECYCLE
        else:
            kind = self._contents(choices)
        if used:
            self._counted = self.text_bytes
        return kind

    def _contents(self, choices: list[Any]) -> Kind:
        kind = Kind.LIFECYCLE
        for choice in choices:
            if self._content_of(members(choice)):
                kind = Kind.CONTENT
            elif kind is Kind.LIFECYCLE and members(choice).get("finish_reason"):
                kind = Kind.FINAL
        return kind

    def _used(self, document: Mapping[str, Any], choices: object) -> bool:
        """Note the usage in a chunk: the last one counts, because those that come often are counted up."""
        said = document.get("usage")
        if not said and "x_groq" in document:
            said = members(document["x_groq"]).get("usage")
        if not said and isinstance(choices, list) and choices and "usage" in members(choices[0]):
            said = choices[0]["usage"]
        if not said:
            return False
        self.usage = of_openai(said) or self.usage
        return True

    def _content_of(self, choice: Mapping[str, Any]) -> bool:
        """Whether this is some of the answer: anything in a delta but its role, and text of a completion."""
        index = choice.get("index")
        place = index if isinstance(index, int) else 0
        if place in self._choices or len(self._choices) < _MOST_CHOICES:  # what follows a finish reason is no new one
            self._choices[place] = self._choices.get(place, False) or bool(choice.get("finish_reason"))
        text = choice.get("text")
        found = bool(text)
        if text:
            self.text_bytes += size(text)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return found
        for name, value in delta.items():
            if not value or name == "role":
                continue
            found = True
            if name == "tool_calls":
                self._called(place, value)
            elif name == "function_call":
                self.called(members(value).get("name"))
                self.text_bytes += size(members(value).get("arguments"))
            else:
                self.text_bytes += size(value)
        return found

    def _called(self, choice: int, calls: object) -> None:
        """Count each call once: by its place, and by its id where a server has all at one place."""
        for call in calls if isinstance(calls, list) else ():
            said = members(call)
            function = members(said.get("function") or said.get("custom"))
            self.text_bytes += size(function.get("arguments")) + size(function.get("input"))
            index, id = said.get("index"), said.get("id")
            place = (choice, index if isinstance(index, int) else 0)
            before = self._calls.get(place)
            if function.get("name") and (before is None or (id and id != before)) and len(self._calls) < 1024:
                self._calls[place] = id if isinstance(id, str) else ""
                self.called(function["name"])
