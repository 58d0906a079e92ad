"""Answers of Anthropic's Messages API as those of OpenAI's chat/completions, whole and in streams."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from gateway.llm.sse import Event
from gateway.llm.translate import errors, usage_shapes
from gateway.llm.translate.translation import BadAnswer
from gateway.llm.translate.writing import (
    NOT_AN_OBJECT,
    SHORT,
    answer_body,
    answer_document,
    answer_text,
    chunk,
    event_document,
    renamed,
)

# Characters of one block of thinking, which goes out whole at its end; longer ones are left out whole.
MOST_THOUGHT = 1024 * 1024
_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Properties of the request that an answer depends on: whether thinking is wanted, and token counts in a stream."""

    model: str
    thinks: bool
    counts: bool


def whole_answer(body: bytes, asked: Asked) -> bytes:
    """A whole answer."""
    document = answer_document(body)
    blocks = document.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise BadAnswer("The provider's answer has no content.")
    usage = document.get("usage")
    texts = [str(block.get("text")) for block in blocks if block.get("type") == "text"]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    thoughts = [block for block in blocks if block.get("type") in ("thinking", "redacted_thinking")]
    if asked.thinks and thoughts:
        message["reasoning_content"] = "".join(str(block.get("thinking", "")) for block in thoughts)
        message["thinking_blocks"] = thoughts
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    if calls:
        message["tool_calls"] = calls
    answer = _head(document, asked, "chat.completion") | {
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": _REASONS.get(str(document.get("stop_reason")), "stop"),
            }
        ],
        "usage": usage_shapes.as_chat(usage if isinstance(usage, dict) else {}),
    }
    return answer_body(answer)


def _head(document: dict[str, Any], asked: Asked, kind: str) -> dict[str, Any]:
    model = document.get("model")
    return {
        "id": renamed(document.get("id"), "chatcmpl-"),
        "object": kind,
        "created": int(time.time()),
        "model": model if isinstance(model, str) and model else asked.model,
    }


def _call(block: dict[str, Any]) -> dict[str, Any]:
    function = {"name": block.get("name"), "arguments": answer_text(block.get("input") or {})}
    return {"id": block.get("id"), "type": "function", "function": function}


@dataclass(slots=True)
class Block:
    """A block of the answer that has begun and not ended. `position` is that of a call among calls."""

    kind: str
    position: int = 0
    given: object = None
    said: bool = False
    thought: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)
    size: int = 0


class MessagesStream:
    """Reads the events of a stream of Messages and writes the chunks that say the same."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._head: dict[str, Any] = {}
        self._blocks: dict[int, Block] = {}
        self._calls = 0
        self._thoughts = 0
        self._reason: str | None = None
        self._usage: dict[str, Any] = {}
        self.finished = False

    def event(self, event: Event) -> bytes:
        if self.finished or (not event.data and len(event.raw) < SHORT):
            return b""
        document = event_document(event.data)
        if document is None:
            return self.cut_off("api_error", NOT_AN_OBJECT)
        if (error := errors.in_stream(document)) is not None:
            return self.cut_off(*error)
        kind = document.get("type")
        if kind == "ping":
            return b": ping\n\n"
        if self._head:
            begun = b""
        else:
            message = document.get("message")
            message = message if isinstance(message, dict) else {}
            self._count(message.get("usage"))
            self._head = _head(message, self._asked, "chat.completion.chunk")
            begun = self._chunk({"role": "assistant", "content": "", "refusal": None})
        try:
            return begun + self._part(kind, document)
        except BadAnswer as error:
            return begun + self.cut_off("api_error", str(error))

    def end(self) -> bytes:
        if self._reason is not None and not self.finished:
            return self._finish()
        return self.cut_off("api_error", "The provider's stream ended before the answer was complete.")

    def cut_off(self, kind: str, sentence: str) -> bytes:
        if self.finished:
            return b""
        self.finished = True
        return chunk(errors.openai_error(kind, sentence))

    def _part(self, kind: object, document: dict[str, Any]) -> bytes:
        index = document.get("index")
        if kind == "content_block_start" and isinstance(index, int):
            return self._start(index, document.get("content_block"))
        if kind == "content_block_delta" and isinstance(index, int):
            block, delta = self._blocks.get(index), document.get("delta")
            return self._delta(block, delta) if block is not None and isinstance(delta, dict) else b""
        if kind == "content_block_stop" and isinstance(index, int):
            block = self._blocks.pop(index, None)
            return b"" if block is None else self._stop(block)
        if kind == "message_delta":
            delta = document.get("delta")
            reason = delta.get("stop_reason") if isinstance(delta, dict) else None
            self._reason = reason if isinstance(reason, str) else self._reason
            self._count(document.get("usage"))
            return b""
        return self._finish() if kind == "message_stop" else b""

    def _start(self, index: int, given: object) -> bytes:
        if not isinstance(given, dict):
            return b""
        kind = str(given.get("type"))
        block = self._blocks[index] = Block(kind)
        if kind == "tool_use":
            block.position, block.given = self._calls, given.get("input")
            self._calls += 1
            function = {"name": str(given.get("name")), "arguments": ""}
            call = {"index": block.position, "id": str(given.get("id")), "type": "function", "function": function}
            return self._chunk({"tool_calls": [call]})
        if kind == "text":
            return self._delta(block, {"type": "text_delta", "text": given.get("text")})
        if kind == "thinking":
            return self._delta(block, {"type": "thinking_delta", "thinking": given.get("thinking")})
        block.given = str(given.get("data"))
        return b""

    def _delta(self, block: Block, delta: dict[str, Any]) -> bytes:
        kind = delta.get("type")
        if kind == "text_delta" and isinstance(text := delta.get("text"), str) and text:
            return self._chunk({"content": text})
        if kind == "input_json_delta" and isinstance(text := delta.get("partial_json"), str) and text:
            block.said = True
            return self._arguments(block, text)
        if kind == "signature_delta" and isinstance(text := delta.get("signature"), str):
            block.size += len(text)
            if block.size <= MOST_THOUGHT:
                block.signature.append(text)
        if kind == "thinking_delta" and isinstance(text := delta.get("thinking"), str) and text and self._asked.thinks:
            block.size += len(text)
            if block.size <= MOST_THOUGHT:
                block.thought.append(text)
            return self._chunk({"reasoning_content": text})
        return b""

    def _arguments(self, block: Block, text: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": block.position, "function": {"arguments": text}}]})

    def _stop(self, block: Block) -> bytes:
        if block.kind == "tool_use":
            # Clients read the arguments as JSON, also those of a tool that takes none.
            return b"" if block.said else self._arguments(block, answer_text(block.given or {}))
        if not self._asked.thinks or block.size > MOST_THOUGHT:
            return b""
        if block.kind == "thinking":
            text = "".join(block.thought)
            return self._thought({"type": "thinking", "thinking": text, "signature": "".join(block.signature)})
        if block.kind == "redacted_thinking":
            return self._thought({"type": "redacted_thinking", "data": block.given})
        return b""

    def _thought(self, block: dict[str, Any]) -> bytes:
        self._thoughts += 1
        return self._chunk({"thinking_blocks": [{"index": self._thoughts - 1, **block}]})

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        document = {**self._head, "choices": [choice]}
        if self._asked.counts:
            document["usage"] = None
        return chunk(document)

    def _finish(self) -> bytes:
        self.finished = True
        written = self._chunk({}, _REASONS.get(self._reason or "", "stop"))
        if self._asked.counts:
            written += chunk({**self._head, "choices": [], "usage": usage_shapes.as_chat(self._usage)})
        return written + b"data: [DONE]\n\n"
