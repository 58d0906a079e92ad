"""Answers that come whole: what they cost, who answered, which tools are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.llm.apis import Api
from gateway.llm.streams.errors import ProviderError, error_in
from gateway.llm.streams.gemini import GeminiReader
from gateway.llm.streams.messages import TOOLS as MESSAGE_TOOLS
from gateway.llm.streams.reader import LONGEST_NAME, MOST_TOOL_CALLS
from gateway.llm.streams.responses import TOOLS as RESPONSE_TOOLS
from gateway.llm.usage import Usage, members, of_anthropic, of_openai


@dataclass(frozen=True, slots=True)
class Answer:
    """What one says, whatever its format. An error may come with status 200."""

    usage: Usage | None = None
    model: str = ""
    tool_calls: list[str] = field(default_factory=list)
    finished: bool = True
    error: ProviderError | None = None


def whole(api: Api, document: object, status: int = 200) -> Answer:
    """Read the parsed body of an answer. Gemini's streams that are no events are arrays of answers."""
    if api.family == "gemini":
        reader = GeminiReader()
        for part in document if isinstance(document, list) else [document]:
            reader.read_document(members(part))
        return Answer(reader.usage, reader.model, reader.tool_calls, reader.finished, reader.error)
    said = members(document)
    error = error_in(said, 0 if status < 400 else status)
    model = said.get("model")
    name = model if isinstance(model, str) else ""
    if error is not None and (status >= 400 or "usage" not in said):
        return Answer(model=name, finished=False, error=error)
    if api.name == "anthropic.messages":
        names = _names(_objects(said.get("content")), MESSAGE_TOOLS)
        return Answer(of_anthropic(said.get("usage")), name, names, said.get("stop_reason") is not None, error)
    if api.name in ("openai.responses", "openai.responses_by_id"):
        names = _names(_objects(said.get("output")), RESPONSE_TOOLS)
        finished = said.get("status", "completed") in ("completed", "incomplete")
        return Answer(of_openai(said.get("usage")), name, names, finished, error)
    choices = list(_objects(said.get("choices")))
    finished = all(choice.get("finish_reason") for choice in choices)
    return Answer(of_openai(said.get("usage")), name, list(_called(choices))[:MOST_TOOL_CALLS], finished, error)


def _objects(value: object) -> Iterable[Mapping[str, Any]]:
    return [members(item) for item in value] if isinstance(value, list) else []


def _names(items: Iterable[Mapping[str, Any]], kinds: frozenset[str]) -> list[str]:
    names = (item.get("name") or item["type"] for item in items if str(item.get("type")) in kinds)
    return [str(name)[:LONGEST_NAME] for name in names][:MOST_TOOL_CALLS]


def _called(choices: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for choice in choices:
        message = members(choice.get("message"))
        for call in _objects(message.get("tool_calls")):
            name = members(call.get("function") or call.get("custom")).get("name")
            if isinstance(name, str):
                yield name[:LONGEST_NAME]
        legacy = members(message.get("function_call")).get("name")
        if isinstance(legacy, str):
            yield legacy[:LONGEST_NAME]
