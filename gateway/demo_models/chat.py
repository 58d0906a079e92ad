"""OpenAI's chat/completions and completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from gateway.demo_models.asked import CREATED, Asked, Reply, Tool, whole_number, words_of
from gateway.demo_models.faults import Faults
from gateway.demo_models.frames import Frame, data

ENDS = {"stop": "stop", "limit": "length", "tools": "tool_calls"}


def asked(document: Mapping[str, Any], model: str, faults: Faults) -> Asked:
    """The parsed request of chat/completions."""
    messages = [message for message in document.get("messages") or () if isinstance(message, Mapping)]
    limit = whole_number(document.get("max_completion_tokens"))
    options = document.get("stream_options")
    return Asked(
        model,
        faults,
        prompt=" ".join(words_of(message.get("content")) for message in messages),
        last=next((words_of(each.get("content")) for each in reversed(messages) if each.get("role") != "system"), ""),
        answered_by_tool=bool(messages) and messages[-1].get("role") == "tool",
        tools=list(_tools(document.get("tools") or ())),
        forced=_forced(document.get("tool_choice")),
        limit=limit if limit is not None else whole_number(document.get("max_tokens")),
        number=whole_number(document.get("n")) or 1,
        stream=document.get("stream") is True,
        usage_wanted=isinstance(options, Mapping) and options.get("include_usage") is True,
    )


def _tools(given: Any) -> Iterator[Tool]:
    for tool in given:
        function = tool.get("function") or {}
        if "name" in function:
            yield Tool(function["name"], function.get("parameters") or {})


def _forced(choice: Any) -> str:
    if isinstance(choice, Mapping):
        return str((choice.get("function") or {}).get("name", "*"))
    return {"required": "*", "none": "-"}.get(choice, "")


def usage(reply: Reply, number: int = 1) -> dict[str, Any]:
    """Cached tokens are part of the prompt's, and those of reasoning are part of the completion's."""
    return {
        "prompt_tokens": reply.input,
        "completion_tokens": reply.output * number,
        "total_tokens": reply.input + reply.output * number,
        "prompt_tokens_details": {"cached_tokens": reply.cached},
        "completion_tokens_details": {"reasoning_tokens": reply.thinking * number},
    }


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{call.id}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.calls
    ]


def whole(asked: Asked, reply: Reply) -> dict[str, Any]:
    """The answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.thought:
        message["reasoning_content"] = "".join(reply.thought)
    if reply.calls:
        message["tool_calls"] = _calls(reply)
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": ENDS[reply.end]}
        for index in range(asked.number)
    ]
    return {
        **_head(asked, reply, "chat.completion"),
        "choices": choices,
        **({} if asked.faults.has("no-usage") else {"usage": usage(reply, asked.number)}),
    }


def _head(asked: Asked, reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{reply.id}", "object": kind, "created": CREATED, "model": asked.model}


def events(asked: Asked, reply: Reply) -> Iterator[Frame]:
    """The answer as chunks: the choices take turns."""
    given = usage(reply, asked.number)
    delivered = 0

    def chunk(index: int, delta: Mapping[str, Any], end: str | None = None, tokens: int = 0) -> Frame:
        nonlocal delivered
        delivered += tokens
        document = _head(asked, reply, "chat.completion.chunk")
        document["choices"] = [{"index": index, "delta": delta, "logprobs": None, "finish_reason": end}]
        if asked.faults.has("usage-every"):
            document["usage"] = {**given, "completion_tokens": delivered, "total_tokens": reply.input + delivered}
        elif asked.usage_wanted:
            document["usage"] = None
        return data(document, tokens, last=end is not None)

    for index in range(asked.number):
        yield chunk(index, {"role": "assistant", "content": None if reply.calls else ""})
    for thought in reply.thought:
        for index in range(asked.number):
            yield chunk(index, {"reasoning_content": thought}, tokens=1)
    for piece in reply.pieces:
        for index in range(asked.number):
            yield chunk(index, {"content": piece}, tokens=1)
    for index in range(asked.number):
        for delta, tokens in _call_deltas(reply):
            yield chunk(index, {"tool_calls": [delta]}, tokens=tokens)
    for index in range(asked.number):
        yield chunk(index, {}, ENDS[reply.end])
    if asked.usage_wanted and not asked.faults.has("no-usage"):
        choices = [{"index": 0, "delta": {}, "finish_reason": None}] if asked.faults.has("usage-with-choices") else []
        yield data({**_head(asked, reply, "chat.completion.chunk"), "choices": choices, "usage": given}, last=True)
    yield Frame(b"data: [DONE]\n\n", last=True)


def _call_deltas(reply: Reply) -> Iterator[tuple[dict[str, Any], int]]:
    """Each call: its name first, and its arguments in two parts."""
    for number, (call, document) in enumerate(zip(reply.calls, _calls(reply), strict=True)):
        middle = len(call.arguments) // 2
        tokens = max(1, len(call.arguments) // 4)
        yield {**document, "index": number, "function": {"name": call.name, "arguments": ""}}, 0
        for part, cost in zip_longest((call.arguments[:middle], call.arguments[middle:]), (tokens,), fillvalue=0):
            yield {"index": number, "function": {"arguments": part}}, int(cost)


def completion_asked(document: Mapping[str, Any], model: str, faults: Faults) -> Asked:
    """The parsed request of completions."""
    prompt = words_of(document.get("prompt"))
    options = document.get("stream_options")
    return Asked(
        model,
        faults,
        prompt,
        prompt,
        limit=whole_number(document.get("max_tokens")),
        number=whole_number(document.get("n")) or 1,
        stream=document.get("stream") is True,
        usage_wanted=isinstance(options, Mapping) and options.get("include_usage") is True,
    )


def completion(asked: Asked, reply: Reply) -> dict[str, Any]:
    """The answer of completions in one piece."""
    return _completion(asked, reply, reply.text, ENDS[reply.end]) | {"usage": usage(reply, asked.number)}


def _completion(asked: Asked, reply: Reply, text: str, end: str | None) -> dict[str, Any]:
    head = _head(asked, reply, "text_completion") | {"id": f"cmpl-{reply.id}"}
    choices = [{"index": index, "text": text, "logprobs": None, "finish_reason": end} for index in range(asked.number)]
    return {**head, "choices": choices}


def completion_events(asked: Asked, reply: Reply) -> Iterator[Frame]:
    """The answer of completions as chunks."""
    for piece in reply.pieces:
        yield data(_completion(asked, reply, piece, None), asked.number)
    yield data(_completion(asked, reply, "", ENDS[reply.end]), last=True)
    if asked.usage_wanted and not asked.faults.has("no-usage"):
        document = _completion(asked, reply, "", None) | {"choices": [], "usage": usage(reply, asked.number)}
        yield data(document, last=True)
    yield Frame(b"data: [DONE]\n\n", last=True)
