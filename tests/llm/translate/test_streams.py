"""Whatever way an answer is cut into a stream, its translation says what the whole answer's translation says."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.llm.sse import EventSplitter
from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import Translated
from tests.llm.translate.support import events_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ARGUMENTS = st.dictionaries(
    TEXTS, st.recursive(st.integers(-99, 99) | TEXTS | st.none(), st.lists, max_leaves=5), max_size=3
)
CALLS = st.lists(ARGUMENTS, max_size=4)


def asked(source: str, protocol: str, **request: Any) -> Translated:
    """A translated request."""
    found = translation(source, protocol)
    assert found is not None
    return found.request(request, "claude-opus-4-1")


def through(translated: Translated, body: bytes, pieces: list[int]) -> list[Any]:
    """The events that a client gets of a stream that comes in pieces of these sizes, again and again."""
    stream, splitter = translated.stream(), EventSplitter()
    written, at, number = b"", 0, 0
    while at < len(body):
        size = pieces[number % len(pieces)]
        for event in splitter.feed(body[at : at + size]):
            written += stream.event(event)
        at, number = at + size, number + 1
    for event in splitter.finish():
        written += stream.event(event)
    return events_of(written + stream.end())


def cut(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces."""
    ends = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=5)))
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


@st.composite
def chat_answers(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A whole answer of chat/completions and a stream of it, in which the calls alternate."""
    text, thought, calls = draw(TEXTS), draw(TEXTS), draw(CALLS)
    deltas: list[dict[str, Any]] = [{"reasoning_content": piece} for piece in cut(draw, thought)]
    deltas += [{"content": piece} for piece in cut(draw, text)]
    message: dict[str, Any] = {"role": "assistant", "content": text, "reasoning_content": thought, "tool_calls": []}
    queues: list[list[dict[str, Any]]] = []
    for index, given_ in enumerate(calls):
        arguments = orjson.dumps(given_).decode()
        head = {
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": f"tool_{index}", "arguments": arguments},
        }
        message["tool_calls"].append(head)
        deltas.append(
            {"tool_calls": [{**head, "index": index, "function": {"name": f"tool_{index}", "arguments": ""}}]}
        )
        queues.append([{"index": index, "function": {"arguments": piece}} for piece in cut(draw, arguments)])
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        deltas.append({"tool_calls": [queue.pop(0)]})
    reason = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": 9, "completion_tokens": 4}
    chunks: list[dict[str, Any]] = [
        {"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
    chunks.append({"choices": [], "usage": usage})
    end = draw(st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
    body = b"".join(b"data: " + orjson.dumps(chunk) + end for chunk in chunks) + b"data: [DONE]" + end
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": "chatcmpl-1", "model": "m", "choices": [choice], "usage": usage}, body


PIECES = st.lists(st.integers(1, 60), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(chat_answers(), PIECES)
def test_a_stream_of_messages_says_what_the_whole_answer_says(
    answer: tuple[dict[str, Any], bytes], pieces: list[int]
) -> None:
    """Blocks come one after the other, each begun and ended once, whatever alternated before."""
    whole, body = answer
    request = asked("anthropic.messages", "openai", messages=[], thinking={"type": "adaptive"})
    events = through(request, body, pieces)
    message = events[0]["message"]
    blocks: list[dict[str, Any]] = []
    texts: dict[int, str] = {}
    is_open = False
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(blocks)
            blocks.append(event["content_block"])
            is_open = True
        elif event["type"] == "content_block_delta":
            assert is_open
            assert event["index"] == len(blocks) - 1
            grow(blocks[-1], event["delta"], texts, len(blocks))
        else:
            assert event == {"type": "content_block_stop", "index": len(blocks) - 1}
            is_open = False
    for number, text in texts.items():
        blocks[number - 1]["input"] = orjson.loads(text)
    last = events[-2]
    made = {**message, "content": blocks, **last["delta"], "usage": last["usage"]}
    assert made == orjson.loads(request.answer(orjson.dumps(whole)))
    assert events[-1] == {"type": "message_stop"}


def grow(block: dict[str, Any], delta: dict[str, Any], texts: dict[int, str], number: int) -> None:
    """Add a delta to its block as the SDK does."""
    if delta["type"] == "input_json_delta":
        texts[number] = texts.get(number, "") + delta["partial_json"]
    else:
        name = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}[delta["type"]]
        block[name] += delta[name]


@settings(max_examples=60, deadline=None)
@given(chat_answers(), PIECES)
def test_a_stream_of_responses_ends_with_what_the_whole_answer_says(
    answer: tuple[dict[str, Any], bytes], pieces: list[int]
) -> None:
    """Its deltas add up to its items, and its items to the response that the last event has."""
    whole, body = answer
    request = asked("openai.responses", "openai", input="x", reasoning={"summary": "auto"})
    events = through(request, body, pieces)
    said: dict[str, str] = {}
    for event in events:
        if event["type"].endswith(".delta"):
            said[event["item_id"]] = said.get(event["item_id"], "") + event["delta"]
    last = events[-1]["response"]
    for item in last["output"]:
        text = item.get("arguments") or "".join(part["text"] for part in item.get("content") or item.get("summary"))
        assert said[item["id"]] == text
    assert without_chance(last) == without_chance(orjson.loads(request.answer(orjson.dumps(whole))))


def without_chance(response: dict[str, Any]) -> dict[str, Any]:
    """A response without ids that are made anew each time, and without its time."""
    items = [{name: value for name, value in item.items() if name != "id"} for item in response["output"]]
    return {**response, "output": items, "created_at": 0}


@st.composite
def messages_answers(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A whole answer of Messages and a stream of it."""
    blocks: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []

    def add(block: dict[str, Any], empty: dict[str, Any], deltas: list[dict[str, Any]]) -> None:
        index = len(blocks)
        blocks.append(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events.extend({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        events.append({"type": "content_block_stop", "index": index})

    thought, text = draw(TEXTS), draw(TEXTS)
    signed = {"type": "signature_delta", "signature": "c2ln"}
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in cut(draw, thought)]
    thinking = {"type": "thinking", "thinking": thought, "signature": "c2ln"}
    add(thinking, {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed])
    add(
        {"type": "text", "text": text},
        {"type": "text", "text": ""},
        [{"type": "text_delta", "text": p} for p in cut(draw, text)],
    )
    calls = draw(CALLS)
    for number, given_ in enumerate(calls):
        head = {"type": "tool_use", "id": f"toolu_{number}", "name": f"tool_{number}"}
        arguments = cut(draw, orjson.dumps(given_).decode()) if given_ else []
        add(
            {**head, "input": given_},
            {**head, "input": {}},
            [{"type": "input_json_delta", "partial_json": p} for p in arguments],
        )
    reason = "tool_use" if calls else "end_turn"
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    usage = {"input_tokens": 9, "output_tokens": 4}
    start: dict[str, Any] = {
        "type": "message_start",
        "message": {**head, "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}},
    }
    end = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 4}}
    body = b""
    for event in [start, {"type": "ping"}, *events, end, {"type": "message_stop"}]:
        body += b"event: %b\r\ndata: %b\r\n\r\n" % (str(event["type"]).encode(), orjson.dumps(event))
    return {**head, "content": blocks, "stop_reason": reason, "usage": usage}, body


@settings(max_examples=60, deadline=None)
@given(messages_answers(), PIECES)
def test_a_stream_of_chat_completions_says_what_the_whole_answer_says(
    answer: tuple[dict[str, Any], bytes], pieces: list[int]
) -> None:
    """Its deltas add up to the message, its last chunk has the usage."""
    whole, body = answer
    thinking = {"type": "enabled", "budget_tokens": 1024}
    options = {"include_usage": True}
    request = asked("openai.chat", "anthropic", messages=[], thinking=thinking, stream=True, stream_options=options)
    *chunks, last, done = through(request, body, pieces)
    assert done == "[DONE]"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "",
        "refusal": None,
        "reasoning_content": "",
        "thinking_blocks": [],
    }
    calls: list[dict[str, Any]] = []
    for chunk in chunks:
        delta = chunk["choices"][0]["delta"]
        message["content"] += delta.get("content", "")
        message["reasoning_content"] += delta.get("reasoning_content", "")
        for block in delta.get("thinking_blocks", []):
            assert block.pop("index") == len(message["thinking_blocks"])
            message["thinking_blocks"].append(block)
        for call in delta.get("tool_calls", []):
            if call.pop("index") == len(calls):
                calls.append(call)
            else:
                calls[-1]["function"]["arguments"] += call["function"]["arguments"]
    if calls:
        message["tool_calls"] = calls
    expected = orjson.loads(request.answer(orjson.dumps(whole)))
    assert message == expected["choices"][0]["message"]
    assert chunks[-1]["choices"][0]["finish_reason"] == expected["choices"][0]["finish_reason"]
    assert last["usage"] == expected["usage"]
    for call, given_ in zip(
        calls, [block["input"] for block in whole["content"] if block["type"] == "tool_use"], strict=True
    ):
        assert orjson.loads(call["function"]["arguments"]) == given_
