"""Answers that come whole: what they cost, who answered, which tools are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.llm.apis import Api
from gateway.llm.streams.errors import ProviderError, error_in
from gateway.llm.streams.gemini import GeminiReader
from gateway.llm.streams.messages import TOOLS as MESSAGE_TOOLS
from gateway.llm.streams.reader import MOST_TOOL_CALLS, name_of, size
from gateway.llm.streams.responses import TOOLS as RESPONSE_TOOLS
from gateway.llm.usage import Usage, members, of_anthropic, of_openai

_ENDS: Final = frozenset({"completed", "incomplete", "cancelled"})
_TEXTS: Final = frozenset(
    {"text", "content", "reasoning_content", "reasoning", "refusal", "arguments", "thinking", "input", "args"}
)
"""The members of an answer in which the model has written."""


@dataclass(slots=True, init=False)
class Answer:
    """The parsed form of an answer in any format. An error may have status 200. (No tuple: one is made for every
    answer.)"""

    usage: Usage | None
    model: str
    tool_calls: Sequence[str]
    finished: bool
    error: ProviderError | None
    text_bytes: int  # of what was written, where the usage does not say what it cost

    def __init__(
        self,
        usage: Usage | None = None,
        model: str = "",
        tool_calls: Sequence[str] = (),
        finished: bool = True,
        error: ProviderError | None = None,
        text_bytes: int = 0,
    ) -> None:
        self.usage = usage
        self.model = model
        self.tool_calls = tool_calls
        self.finished = finished
        self.error = error
        self.text_bytes = text_bytes

    @property
    def output_known(self) -> bool:
        """Whether the usage counts all that was written."""
        return self.usage is not None and (self.usage.output > 0 or not self.text_bytes)


def unread(api: Api, size: int) -> Answer:
    """The parsed form of an answer of so many bytes that is not read: audio, or invalid JSON."""
    return Answer(finished=not api.generates, text_bytes=size if api.generates else 0)


def whole(api: Api, document: object, status: int = 200) -> Answer:
    """Read the parsed body of an answer. Gemini's streams that are no events are arrays of answers."""
    if api.family == "gemini":
        reader = GeminiReader()
        for part in document if isinstance(document, list) else [document]:
            reader.read_document(members(part))
        finished = reader.error is None and (reader.finished or api.name != "gemini.generate")
        texts = 0 if reader.output_known else reader.text_bytes
        return Answer(reader.usage, reader.model, reader.tool_calls, finished, reader.error, texts)
    said: Mapping[str, Any] = document if isinstance(document, dict) else {}
    error = None
    if "error" in said or said.get("object") == "error":
        error = error_in(said, 0 if status < 400 else status)
    model = said.get("model")
    name = name_of(model) if isinstance(model, str) else ""
    if error is not None and (status >= 400 or "usage" not in said):
        return Answer(model=name, finished=False, error=error)
    if api.name == "anthropic.messages":
        usage, written = of_anthropic(said.get("usage")), said.get("content")
        names, finished = _names(_objects(written), MESSAGE_TOOLS), said.get("stop_reason") is not None
    elif api.name in ("openai.responses", "openai.responses_by_id"):
        usage, written = of_openai(said.get("usage")), said.get("output")
        names, finished = _names(_objects(written), RESPONSE_TOOLS), str(said.get("status", "completed")) in _ENDS
    else:
        usage, written = of_openai(said.get("usage")), said.get("choices")
        choices = written if isinstance(written, list) else ()
        names, finished = _called(choices)
        finished = finished and (bool(choices) or not api.generates)  # without any, it is something else than an answer
    texts = 0 if usage is not None and usage.output else _written(written)
    return Answer(usage, name, names, finished, error, texts)


def _written(parts: object) -> int:
    """The bytes of all texts in these parts of an answer."""
    total = 0
    rest = [parts]
    while rest:
        part = rest.pop()
        if isinstance(part, list):
            rest += part
        elif isinstance(part, dict):
            for name, value in part.items():
                if name not in _TEXTS or isinstance(value, list):
                    rest.append(value)
                else:
                    total += size(value if isinstance(value, str) else str(value or ""))
    return total


def _objects(value: object) -> Sequence[Mapping[str, Any]]:
    return [members(item) for item in value] if isinstance(value, list) else []


def _names(items: Iterable[Mapping[str, Any]], kinds: frozenset[str]) -> Sequence[str]:
    names = (item.get("name") or item["type"] for item in items if str(item.get("type")) in kinds)
    return [name_of(str(name)) for name in names][:MOST_TOOL_CALLS]


def _called(choices: Iterable[object]) -> tuple[Sequence[str], bool]:
    """The tools that are called, and whether each choice is finished."""
    names: list[object] = []
    finished = True
    for choice in choices:
        if not isinstance(choice, dict):
            finished = False
            continue
        finished = finished and bool(choice.get("finish_reason"))
        message = choice.get("message")
        if not isinstance(message, dict):
            continue
        if "tool_calls" in message:
            calls = _objects(message["tool_calls"])
            names += [members(call.get("function") or call.get("custom")).get("name") for call in calls]
        if "function_call" in message:
            names.append(members(message["function_call"]).get("name"))
    if not names:
        return (), finished
    return [name_of(name) for name in names if isinstance(name, str)][:MOST_TOOL_CALLS], finished
