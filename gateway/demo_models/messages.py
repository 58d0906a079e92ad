"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.demo_models.asked import Asked, Reply, Tool, whole_number, words_of
from gateway.demo_models.faults import Faults
from gateway.demo_models.frames import Frame, named

ENDS = {"stop": "end_turn", "limit": "max_tokens", "tools": "tool_use"}
EMPTY: Mapping[str, dict[str, Any]] = {
    "thinking": {"thinking": "", "signature": ""},
    "text": {"text": ""},
    "tool_use": {"input": {}},
}
"""Members that the first event of a block does not have yet."""


def asked(document: Mapping[str, Any], model: str, faults: Faults) -> Asked:
    """The parsed request. A `system` role among the messages is read as part of the prompt."""
    messages = [message for message in document.get("messages") or () if isinstance(message, Mapping)]
    last = next((message for message in reversed(messages) if message.get("role") == "user"), {})
    content = last.get("content")
    blocks = [block for block in content if isinstance(block, Mapping)] if isinstance(content, list) else []
    text = next((words_of(each) for each in reversed(blocks) if each.get("type") in {"text", "tool_result"}), "")
    return Asked(
        model,
        faults,
        prompt=" ".join(
            filter(None, [words_of(document.get("system")), *(words_of(each.get("content")) for each in messages)])
        ),
        last=text or words_of(content),
        answered_by_tool=any(block.get("type") == "tool_result" for block in blocks),
        tools=[
            Tool(tool["name"], tool.get("input_schema") or {}) for tool in document.get("tools") or () if "name" in tool
        ],
        forced=_forced(document.get("tool_choice")),
        limit=whole_number(document.get("max_tokens")),
        stream=document.get("stream") is True,
    )


def _forced(choice: Any) -> str:
    if not isinstance(choice, Mapping):
        return ""
    return {"any": "*", "none": "-", "tool": str(choice.get("name", ""))}.get(str(choice.get("type")), "")


def usage(reply: Reply, output: int) -> dict[str, Any]:
    """Cached tokens are not part of the input's here."""
    return {
        "input_tokens": reply.input - reply.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": reply.cached,
        "output_tokens": output,
    }


def _blocks(reply: Reply) -> Iterator[dict[str, Any]]:
    if reply.thought:
        yield {"type": "thinking", "thinking": "".join(reply.thought), "signature": f"signed-{reply.id}"}
    if not reply.calls:
        yield {"type": "text", "text": reply.text}
    for call in reply.calls:
        yield {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.document}


def _message(asked: Asked, reply: Reply) -> dict[str, Any]:
    return {
        "id": f"msg_{reply.id}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def whole(asked: Asked, reply: Reply) -> dict[str, Any]:
    """The answer in one piece."""
    given = {} if asked.faults.has("no-usage") else {"usage": usage(reply, reply.output)}
    return _message(asked, reply) | {"content": list(_blocks(reply)), "stop_reason": ENDS[reply.end]} | given


def events(asked: Asked, reply: Reply) -> Iterator[Frame]:
    """The answer as events; the output tokens of the first are a placeholder, as with the real ones."""
    counted = not asked.faults.has("no-usage")
    yield named(
        {"type": "message_start", "message": _message(asked, reply) | ({"usage": usage(reply, 1)} if counted else {})}
    )
    yield named({"type": "ping"})
    for index, block in enumerate(_blocks(reply)):
        start = {"type": "content_block_start", "index": index, "content_block": block | EMPTY[block["type"]]}
        yield named(start, 0)
        for delta, tokens in _deltas(reply, block):
            yield named({"type": "content_block_delta", "index": index, "delta": delta}, tokens)
        yield named({"type": "content_block_stop", "index": index})
    end: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": ENDS[reply.end], "stop_sequence": None},
    }
    yield named(end | ({"usage": {"output_tokens": reply.output}} if counted else {}), last=True)
    yield named({"type": "message_stop"}, last=True)


def _deltas(reply: Reply, block: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    if block["type"] == "text":
        for piece in reply.pieces:
            yield {"type": "text_delta", "text": piece}, 1
    elif block["type"] == "thinking":
        for piece in reply.thought:
            yield {"type": "thinking_delta", "thinking": piece}, 1
        yield {"type": "signature_delta", "signature": block["signature"]}, 0
    else:
        call = next(call for call in reply.calls if f"toolu_{call.id}" == block["id"])
        middle = len(call.arguments) // 2
        yield {"type": "input_json_delta", "partial_json": call.arguments[:middle]}, max(1, len(call.arguments) // 4)
        yield {"type": "input_json_delta", "partial_json": call.arguments[middle:]}, 0
