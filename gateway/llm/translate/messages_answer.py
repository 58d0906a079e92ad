"""Answers of OpenAI's chat/completions as those of Anthropic's Messages API, whole and in streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.llm.translate import errors, reasoning, usage_shapes
from gateway.llm.translate.chat_whole import calls_of, first_choice, text_of
from gateway.llm.translate.writing import NOT_IN_IDS, answer_body, event, event_document, new_id, renamed

_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Properties of the request that an answer depends on: whether it `thinks` says if reasoning is wanted."""

    model: str
    stops: frozenset[str]
    thinks: bool


def whole_answer(body: bytes, asked: Asked) -> bytes:
    """A whole answer."""
    document, choice, message = first_choice(body)
    content: list[dict[str, Any]] = []
    if asked.thinks and (thought := reasoning.of_delta(message)) is not None:
        signature = reasoning.signature(thought[0], asked.model)
        content.append({"type": "thinking", "thinking": thought[1], "signature": signature})
    texts = (text_of(message.get(field)) for field in ("content", "refusal"))
    content += [{"type": "text", "text": text} for text in texts if text]
    content += [
        {"type": "tool_use", "id": tool_id(identifier), "name": name, "input": _arguments(arguments)}
        for identifier, name, arguments in calls_of(message)
    ]
    reason = choice.get("finish_reason")
    called = any(block["type"] == "tool_use" for block in content)
    if called and reason in ("stop", None):
        reason = "tool_calls"
    stop_reason, stop_sequence = _stop(reason, choice.get("stop_reason"), asked)
    if stop_reason == "end_turn" and text_of(message.get("refusal")):
        stop_reason = "refusal"
    answer = _message(document, asked)
    answer |= {
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "usage": usage_shapes.as_messages(document.get("usage")),
    }
    return answer_body(answer)


def _message(document: dict[str, Any], asked: Asked) -> dict[str, Any]:
    model = document.get("model")
    return {
        "id": renamed(document.get("id"), "msg_"),
        "type": "message",
        "role": "assistant",
        "model": model if isinstance(model, str) and model else asked.model,
    }


def tool_id(given: object) -> str:
    """The id of a call, in the letters that Anthropic has for them: the client may send it on to a provider there."""
    return NOT_IN_IDS.sub("_", given) if isinstance(given, str) and given else new_id("toolu_")


def _arguments(text: object) -> dict[str, Any]:
    """Arguments as an object. What is no object is kept whole under a name, so that the tool can say what is wrong."""
    if isinstance(text, dict):
        return text
    if not isinstance(text, str) or not text.strip():
        return {}
    value = event_document(text.encode("utf-8", "replace"))
    return {"arguments": text} if value is None else value


def _stop(reason: object, stop: object, asked: Asked) -> tuple[str, str | None]:
    if reason == "stop" and isinstance(stop, str) and stop in asked.stops:
        return "stop_sequence", stop
    return _STOPS.get(str(reason), "end_turn"), None


class MessagesWriter:
    """Writes an answer as a stream of Messages: blocks one after the other, usage with the last event."""

    full = False

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._index = -1
        self._open = ""
        self._field = ""
        self._refused = False

    def begin(self, chunk: dict[str, Any]) -> bytes:
        usage = usage_shapes.as_messages(chunk.get("usage"))
        message = _message(chunk, self._asked)
        message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        return event("message_start", {"type": "message_start", "message": message})

    def say(self, kind: str, field: str, text: str) -> bytes:
        if kind == "reasoning":
            if not self._asked.thinks:
                return b""
            block = {"type": "thinking", "thinking": "", "signature": ""}
            started = b"" if self._open == "thinking" else self._start("thinking", block)
            self._field = field
            return started + self._delta({"type": "thinking_delta", "thinking": text})
        self._refused = self._refused or kind == "refusal"
        started = b"" if self._open == "text" else self._start("text", {"type": "text", "text": ""})
        return started + self._delta({"type": "text_delta", "text": text})

    def call(self, identifier: object, name: str) -> bytes:
        return self._start("tool_use", {"type": "tool_use", "id": tool_id(identifier), "name": name, "input": {}})

    def arguments(self, text: str) -> bytes:
        return self._delta({"type": "input_json_delta", "partial_json": text})

    def finish(self, reason: str, stop: object, usage: object) -> bytes:
        stop_reason, stop_sequence = _stop(reason, stop, self._asked)
        if stop_reason == "end_turn" and self._refused:
            stop_reason = "refusal"
        last = {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": stop_sequence},
            "usage": usage_shapes.as_messages(usage),
        }
        return self._stop_block() + event("message_delta", last) + event("message_stop", {"type": "message_stop"})

    def error(self, kind: str, sentence: str) -> bytes:
        return event("error", errors.anthropic_error(kind, sentence))

    def idle(self) -> bytes:
        return event("ping", {"type": "ping"})

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        stopped = self._stop_block()
        self._index += 1
        self._open = kind
        started = {"type": "content_block_start", "index": self._index, "content_block": block}
        return stopped + event("content_block_start", started)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _stop_block(self) -> bytes:
        if not self._open:
            return b""
        signed = b""
        if self._open == "thinking":
            signature = reasoning.signature(self._field, self._asked.model)
            signed = self._delta({"type": "signature_delta", "signature": signature})
        self._open = ""
        return signed + event("content_block_stop", {"type": "content_block_stop", "index": self._index})
