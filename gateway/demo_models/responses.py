"""OpenAI's responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.demo_models.asked import CREATED, Asked, Call, Reply, Tool, whole_number, words_of
from gateway.demo_models.faults import Faults
from gateway.demo_models.frames import Frame, named

OUTPUTS = ("function_call_output", "custom_tool_call_output")


def asked(document: Mapping[str, Any], model: str, faults: Faults) -> Asked:
    """The parsed request. Custom tools take any text, and so the arguments of any function."""
    given = document.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
    items = [item for item in items if isinstance(item, Mapping)]
    spoken = [item for item in items if item.get("role") in {"user", None} and item.get("type") != "reasoning"]
    return Asked(
        model,
        faults,
        prompt=" ".join(filter(None, [words_of(document.get("instructions")), *(words_of(item) for item in items)])),
        last=words_of(spoken[-1]) if spoken else "",
        answered_by_tool=bool(items) and items[-1].get("type") in OUTPUTS,
        tools=[
            Tool(tool["name"], tool.get("parameters") or {})
            for tool in document.get("tools") or ()
            if tool.get("type") == "function" and "name" in tool
        ],
        forced=_forced(document.get("tool_choice")),
        limit=whole_number(document.get("max_output_tokens")),
        stream=document.get("stream") is True,
    )


def _forced(choice: Any) -> str:
    if isinstance(choice, Mapping):
        return str(choice.get("name", "*"))
    return {"required": "*", "none": "-"}.get(choice, "")


def usage(reply: Reply) -> dict[str, Any]:
    """Cached tokens are part of the input's, and those of reasoning are part of the output's."""
    return {
        "input_tokens": reply.input,
        "input_tokens_details": {"cached_tokens": reply.cached},
        "output_tokens": reply.output,
        "output_tokens_details": {"reasoning_tokens": reply.thinking},
        "total_tokens": reply.input + reply.output,
    }


def whole(asked: Asked, reply: Reply, document: Mapping[str, Any]) -> dict[str, Any]:
    """The answer in one piece."""
    done = "incomplete" if reply.end == "limit" else "completed"
    items = [_reasoning(reply)] if reply.thought else []
    items += [_call(call, call.arguments, "completed") for call in reply.calls]
    if not reply.calls:
        items.append(_message(reply, reply.text, done))
    given = None if asked.faults.has("no-usage") else usage(reply)
    return _response(asked, reply, document, done) | {"output": items, "usage": given}


def _response(asked: Asked, reply: Reply, document: Mapping[str, Any], status: str) -> dict[str, Any]:
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": document.get("instructions"),
        "max_output_tokens": document.get("max_output_tokens"),
        "model": asked.model,
        "output": [],
        "parallel_tool_calls": document.get("parallel_tool_calls", True),
        "previous_response_id": document.get("previous_response_id"),
        "store": document.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": document.get("tool_choice", "auto"),
        "tools": document.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": document.get("metadata") or {},
    }


def _message(reply: Reply, text: str | None, status: str) -> dict[str, Any]:
    content = [] if text is None else [_text(text)]
    return {"id": f"msg_{reply.id}", "type": "message", "status": status, "role": "assistant", "content": content}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _call(call: Call, arguments: str, status: str) -> dict[str, Any]:
    return {
        "id": f"fc_{call.id}",
        "type": "function_call",
        "status": status,
        "call_id": f"call_{call.id}",
        "name": call.name,
        "arguments": arguments,
    }


def _reasoning(reply: Reply) -> dict[str, Any]:
    return {"id": f"rs_{reply.id}", "type": "reasoning", "summary": [], "encrypted_content": f"sealed-{reply.id}"}


def events(asked: Asked, reply: Reply, document: Mapping[str, Any]) -> Iterator[Frame]:
    """The answer as events, numbered one after the other."""
    number = -1

    def event(kind: str, tokens: int = 0, *, last: bool = False, **members: Any) -> Frame:
        nonlocal number
        number += 1
        return named({"type": f"response.{kind}", "sequence_number": number, **members}, tokens, last=last)

    begun = _response(asked, reply, document, "in_progress")
    yield event("created", response=begun)
    yield event("in_progress", response=begun)
    index = 0
    if reply.thought:
        yield event("output_item.added", output_index=0, item=_reasoning(reply))
        yield event("output_item.done", reply.thinking, output_index=0, item=_reasoning(reply))
        index = 1
    for call in reply.calls:
        at: dict[str, Any] = {"output_index": index}
        id_at = {"item_id": f"fc_{call.id}", **at}
        yield event("output_item.added", **at, item=_call(call, "", "in_progress"))
        tokens = max(1, len(call.arguments) // 4)
        yield event("function_call_arguments.delta", tokens, **id_at, delta=call.arguments)
        yield event("function_call_arguments.done", **id_at, name=call.name, arguments=call.arguments)
        yield event("output_item.done", **at, item=_call(call, call.arguments, "completed"))
        index += 1
    final = whole(asked, reply, document)
    if not reply.calls:
        at = {"output_index": index}
        part = {"item_id": f"msg_{reply.id}", **at, "content_index": 0}
        yield event("output_item.added", **at, item=_message(reply, None, "in_progress"))
        yield event("content_part.added", **part, part=_text(""))
        for piece in reply.pieces:
            yield event("output_text.delta", 1, **part, delta=piece, logprobs=[])
        yield event("output_text.done", **part, text=reply.text, logprobs=[])
        yield event("content_part.done", **part, part=_text(reply.text))
        yield event("output_item.done", **at, item=final["output"][-1])
    yield event(final["status"], last=True, response=final)
