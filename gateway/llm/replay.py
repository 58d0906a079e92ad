"""Whole answers that are kept, as the streams that a client asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway.llm.usage import members

_OF_ANSWER: Final = frozenset({"object", "choices", "usage"})
_OF_MESSAGE: Final = frozenset({"role", "content", "refusal", "reasoning_content"})
_BLOCKS: Final = {"text": "text_delta", "thinking": "thinking_delta"}


def as_stream(api: str, body: bytes, *, usage: bool) -> bytes | None:
    """The events of an answer; None where it has what these cannot say. `usage`: a client of chat asks for it."""
    try:
        document = members(orjson.loads(body))
        if api == "openai.chat":
            events = list(_chat(document, usage=usage))
            return b"".join(b"data: %b\n\n" % orjson.dumps(event) for event in events) + b"data: [DONE]\n\n"
        if api == "anthropic.messages":
            named = [(str(event["type"]).encode(), orjson.dumps(event)) for event in _messages(document)]
            return b"".join(b"event: %b\ndata: %b\n\n" % event for event in named)
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _chat(document: Mapping[str, Any], *, usage: bool) -> Iterator[dict[str, Any]]:
    head = {name: value for name, value in document.items() if name not in _OF_ANSWER}
    head["object"] = "chat.completion.chunk"
    if usage:
        head["usage"] = None
    for choice in document["choices"]:
        message = choice["message"]
        if any(value for name, value in message.items() if name not in _OF_MESSAGE):
            raise ValueError("more than text")

        part = {"index": choice["index"], "logprobs": None, "finish_reason": None}
        said = [{name: message[name]} for name in ("reasoning_content", "content", "refusal") if message.get(name)]
        for delta in ({"role": message.get("role", "assistant"), "content": ""}, *said):
            yield head | {"choices": [part | {"delta": delta}]}
        rest = {name: value for name, value in choice.items() if name != "message"}  # with the probabilities of tokens
        yield head | {"choices": [part | {"delta": {}} | rest]}
    if usage:
        yield head | {"choices": [], "usage": document.get("usage")}


def _messages(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    usage = {**members(document.get("usage"))}
    begun = {**document, "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": begun | {"usage": usage | {"output_tokens": 0}}}
    for index, block in enumerate(document["content"]):
        kind = block["type"]
        if any(block[name] for name in block.keys() - {"type", kind, "signature"}):
            raise ValueError("more than text")
        empty = {"type": kind, kind: ""} | ({"signature": ""} if "signature" in block else {})
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "content_block_delta", "index": index, "delta": {"type": _BLOCKS[kind], kind: block[kind]}}
        if block.get("signature"):
            signed = {"type": "signature_delta", "signature": block["signature"]}
            yield {"type": "content_block_delta", "index": index, "delta": signed}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": document["stop_reason"], "stop_sequence": document.get("stop_sequence")}
    yield {"type": "message_delta", "delta": end, "usage": usage}
    yield {"type": "message_stop"}
