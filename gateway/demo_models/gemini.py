"""Gemini's generateContent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.demo_models.asked import Asked, Reply, Tool, whole_number, words_of
from gateway.demo_models.faults import Faults
from gateway.demo_models.frames import Frame, data

ENDS = {"stop": "STOP", "limit": "MAX_TOKENS", "tools": "STOP"}


def asked(document: Mapping[str, Any], model: str, faults: Faults, *, stream: bool) -> Asked:
    """The parsed request."""
    given = document.get("contents")
    contents = [{"parts": [{"text": given}]}] if isinstance(given, str) else given or []
    contents = [content for content in contents if isinstance(content, Mapping)]
    last: Mapping[str, Any] = contents[-1] if contents else {}
    limits = document.get("generationConfig") or {}
    calling = (document.get("toolConfig") or {}).get("functionCallingConfig") or {}
    names: Sequence[str] = calling.get("allowedFunctionNames") or ["*"]
    return Asked(
        model,
        faults,
        prompt=" ".join(filter(None, [words_of(document.get("systemInstruction")), *map(words_of, contents)])),
        last=words_of(last),
        answered_by_tool=any("functionResponse" in part for part in last.get("parts") or ()),
        tools=[
            Tool(function["name"], function.get("parameters") or function.get("parametersJsonSchema") or {})
            for tool in document.get("tools") or ()
            for function in tool.get("functionDeclarations") or ()
        ],
        forced={"ANY": names[0], "NONE": "-"}.get(str(calling.get("mode")), ""),
        limit=whole_number(limits.get("maxOutputTokens")),
        number=whole_number(limits.get("candidateCount")) or 1,
        stream=stream,
    )


def usage(reply: Reply, output: int, number: int) -> dict[str, Any]:
    """Thoughts are counted apart from the candidates, and cached tokens are part of the prompt's."""
    thoughts = min(reply.thinking, output)
    counted = {
        "promptTokenCount": reply.input,
        "candidatesTokenCount": (output - thoughts) * number,
        "totalTokenCount": reply.input + output * number,
    }
    if reply.cached:
        counted["cachedContentTokenCount"] = reply.cached
    if thoughts:
        counted["thoughtsTokenCount"] = thoughts * number
    return counted


def whole(asked: Asked, reply: Reply) -> dict[str, Any]:
    """The answer in one piece."""
    parts: list[dict[str, Any]] = [_call(call.name, call.document) for call in reply.calls] or [{"text": reply.text}]
    return _chunk(asked, reply, parts, reply.output, ENDS[reply.end])


def _call(name: str, arguments: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": arguments}}


def _chunk(
    asked: Asked, reply: Reply, parts: Sequence[Mapping[str, Any]], output: int, end: str | None
) -> dict[str, Any]:
    finished = {"finishReason": end} if end else {}
    return {
        "candidates": [
            {"content": {"parts": parts, "role": "model"}, **finished, "index": index} for index in range(asked.number)
        ],
        **({} if asked.faults.has("no-usage") else {"usageMetadata": usage(reply, output, asked.number)}),
        "modelVersion": asked.model,
        "responseId": reply.id,
    }


def events(asked: Asked, reply: Reply) -> Iterator[Frame]:
    """The answer as chunks, each with what was used until then."""
    output = reply.thinking
    for piece in reply.pieces:
        output += 1
        yield data(_chunk(asked, reply, [{"text": piece}], output, None), asked.number)
    for call in reply.calls:
        output += max(1, len(call.arguments) // 4)
        yield data(_chunk(asked, reply, [_call(call.name, call.document)], output, None), asked.number)
    yield data(_chunk(asked, reply, [{"text": ""}], reply.output, ENDS[reply.end]), last=True)
