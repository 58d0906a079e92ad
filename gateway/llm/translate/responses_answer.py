"""Answers of OpenAI's chat/completions as those of its Responses API, whole and in streams."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.llm.translate import errors, reasoning, usage_shapes
from gateway.llm.translate.chat_whole import calls_of, first_choice, text_of
from gateway.llm.translate.writing import answer_body, answer_text, event, new_id, renamed

# Characters of an answer: the last event repeats all of it, so that it has to be kept.
MOST_KEPT = 16 * 1024 * 1024
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_CODES = {
    "rate_limit_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
    errors.OVERFLOW: errors.OVERFLOW,
}
_KINDS = {
    "text": ("output_text", "text", "response.output_text"),
    "refusal": ("refusal", "refusal", "response.refusal"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Properties of the request that an answer depends on.

    `repeated` are the fields of the request that a response has, too; `namespaces` gives namespace and name of tools
    that the provider knows by one name; `summarizes` says whether reasoning is to be seen, `seals` whether it is to be
    had for the next request.
    """

    model: str
    repeated: Mapping[str, Any]
    namespaces: Mapping[str, tuple[str, str]]
    summarizes: bool
    seals: bool


def whole_answer(body: bytes, asked: Asked) -> bytes:
    """A whole answer."""
    document, choice, message = first_choice(body)
    writer = ResponsesWriter(asked)
    writer.begin(document)
    if (thought := reasoning.of_delta(message)) is not None:
        writer.say("reasoning", *thought)
    for kind, field in (("text", "content"), ("refusal", "refusal")):
        if text := text_of(message.get(field)):
            writer.say(kind, "", text)
    for identifier, name, arguments in calls_of(message):
        writer.call(identifier, name)
        if isinstance(arguments, str | dict):
            writer.arguments(arguments if isinstance(arguments, str) else answer_text(arguments))
    writer.finish(str(choice.get("finish_reason")), None, document.get("usage"))
    return answer_body(writer.response)


class ResponsesWriter:
    """Writes an answer as a stream of Responses: items one after the other, and all of it again in the last event."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._number = -1
        self._item: dict[str, Any] | None = None
        self._kind = ""
        self._field = ""
        self._said: list[str] = []
        self._kept = 0
        self.response: dict[str, Any] = {}

    @property
    def full(self) -> bool:
        return self._kept > MOST_KEPT

    def begin(self, chunk: dict[str, Any]) -> bytes:
        self._respond(chunk)
        return self._event("response.created", response=self.response) + self._event(
            "response.in_progress", response=self.response
        )

    def say(self, kind: str, field: str, text: str) -> bytes:
        if kind == "reasoning":
            return self._think(field, text)
        begun = b""
        part, name, prefix = _KINDS[kind]
        if self._kind not in _KINDS:
            content: list[dict[str, Any]] = []
            begun = self._start("message", {"id": new_id("msg_"), "role": "assistant", "content": content})
        if self._kind != kind:
            begun += self._end_part()
            self._kind = kind
            begun += self._part("response.content_part.added", _part_of(part, name, ""))
        self._keep(text)
        assert self._item is not None
        self._number += 1
        delta = {
            "type": f"{prefix}.delta",
            "sequence_number": self._number,
            "output_index": len(self.response["output"]) - 1,
            "item_id": self._item["id"],
            "content_index": len(self._item["content"]),
            "delta": text,
        }
        if kind == "text":
            delta["logprobs"] = []
        return begun + event(f"{prefix}.delta", delta)

    def call(self, identifier: object, name: str) -> bytes:
        identifier = identifier if isinstance(identifier, str) and identifier else new_id("call_")
        item: dict[str, Any] = {"id": new_id("fc_"), "call_id": identifier, "name": name, "arguments": ""}
        if name in self._asked.namespaces:
            item["namespace"], item["name"] = self._asked.namespaces[name]
        begun = self._start("function_call", item)
        self._kind = "call"
        return begun

    def arguments(self, text: str) -> bytes:
        self._keep(text)
        return self._of_item("response.function_call_arguments.delta", delta=text)

    def finish(self, reason: str, stop: object, usage: object) -> bytes:
        incomplete = _INCOMPLETE.get(reason)
        status = "incomplete" if incomplete else "completed"
        written = self._end_item(status)
        self.response |= {"status": status, "usage": usage_shapes.as_responses(usage)}
        if incomplete:
            self.response["incomplete_details"] = {"reason": incomplete}
        return written + self._event(f"response.{status}", response=self.response)

    def error(self, kind: str, sentence: str) -> bytes:
        if not self.response:
            self._respond({})
        code = _CODES.get(kind, "server_error")
        self.response |= {"status": "failed", "error": {"code": code, "message": sentence}}
        return self._event("response.failed", response=self.response)

    def idle(self) -> bytes:
        return b": idle\n\n"

    def _respond(self, chunk: dict[str, Any]) -> None:
        model = chunk.get("model")
        self.response = {
            "id": renamed(chunk.get("id"), "resp_"),
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            **self._asked.repeated,
            "model": model if isinstance(model, str) and model else self._asked.model,
            "output": [],
            "usage": None,
        }

    def _think(self, field: str, text: str) -> bytes:
        if not self._asked.summarizes and not self._asked.seals:
            return b""
        begun = b""
        if self._kind != "reasoning":
            begun = self._start("reasoning", {"id": new_id("rs_"), "summary": []})
            self._kind = "reasoning"
            self._field = field
            if self._asked.summarizes:
                part = {"type": "summary_text", "text": ""}
                begun += self._of_item("response.reasoning_summary_part.added", summary_index=0, part=part)
        self._keep(text)
        if not self._asked.summarizes:
            return begun
        return begun + self._of_item("response.reasoning_summary_text.delta", summary_index=0, delta=text)

    def _keep(self, text: str) -> None:
        self._said.append(text)
        self._kept += len(text)

    def _start(self, kind: str, rest: dict[str, Any]) -> bytes:
        ended = self._end_item("completed")
        self._item = {"type": kind, "status": "in_progress", **rest}
        self.response["output"].append(self._item)
        return ended + self._of_output("response.output_item.added", item=self._item)

    def _end_item(self, status: str) -> bytes:
        item = self._item
        if item is None:
            return b""
        ended = self._end_part()
        if self._kind == "call":
            item["arguments"] = self._spoken() or "{}"
            ended = self._of_item("response.function_call_arguments.done", arguments=item["arguments"])
        elif self._kind == "reasoning":
            ended = self._end_reasoning(item)
        item["status"] = status
        ended += self._of_output("response.output_item.done", item=item)
        self._item = None
        self._kind = ""
        return ended

    def _end_part(self) -> bytes:
        """The text of a part again, as it is now complete."""
        if self._kind not in _KINDS or self._item is None:
            return b""
        kind, name, prefix = _KINDS[self._kind]
        text = self._spoken()
        part = _part_of(kind, name, text)
        more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        done = self._in_part(f"{prefix}.done", **{name: text}, **more)
        done += self._part("response.content_part.done", part)
        self._item["content"].append(part)
        return done

    def _end_reasoning(self, item: dict[str, Any]) -> bytes:
        text = self._spoken()
        if self._asked.seals:
            item["encrypted_content"] = reasoning.sealed(self._field, self._asked.model, text)
        if not self._asked.summarizes:
            return b""
        part = {"type": "summary_text", "text": text}
        item["summary"].append(part)
        return self._of_item("response.reasoning_summary_text.done", summary_index=0, text=text) + self._of_item(
            "response.reasoning_summary_part.done", summary_index=0, part=part
        )

    def _spoken(self) -> str:
        text = "".join(self._said)
        self._said.clear()
        return text

    def _event(self, kind: str, **rest: Any) -> bytes:
        self._number += 1
        return event(kind, {"type": kind, "sequence_number": self._number, **rest})

    def _of_output(self, kind: str, **rest: Any) -> bytes:
        return self._event(kind, output_index=len(self.response["output"]) - 1, **rest)

    def _of_item(self, kind: str, **rest: Any) -> bytes:
        assert self._item is not None
        return self._of_output(kind, item_id=self._item["id"], **rest)

    def _in_part(self, kind: str, **rest: Any) -> bytes:
        assert self._item is not None
        return self._of_item(kind, content_index=len(self._item["content"]), **rest)

    def _part(self, kind: str, part: dict[str, Any]) -> bytes:
        return self._in_part(kind, part=part)


def _part_of(kind: str, name: str, text: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": kind, name: text}
    if kind == "output_text":
        part |= {"annotations": [], "logprobs": []}
    return part
