"""Nothing that clients or providers send raises anything but the errors that translations have."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import BadAnswer, CannotTranslate, Translation
from tests.llm.translate.support import events_of, sent, vectors

DIRECTIONS = [
    ("anthropic.messages", "openai", "messages"),
    ("openai.responses", "openai", "responses"),
    ("openai.chat", "anthropic", "chat"),
]
DEEP: Any = orjson.loads("[" * 400 + "]" * 400)
VALUES = [
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    "",
    "x",
    "\x00\u2028\U0001f600",
    [],
    {},
    [[]],
    [None],
    {"type": 1},
    {"": {}},
    DEEP,
]
ROUNDS = 40


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in a document: what holds it, and its key there."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def altered(chance: random.Random, document: Any) -> Any:
    """A document of which one or two values are others."""
    made = copy.deepcopy(document)
    for _ in range(chance.randint(1, 2)):
        found = list(places(made))
        if found:
            holder, key = chance.choice(found)
            holder[key] = copy.deepcopy(chance.choice(VALUES))
    return made


def found(source: str, protocol: str) -> Translation:
    """A translation that there is."""
    one = translation(source, protocol)
    assert one is not None
    return one


@pytest.mark.parametrize(("source", "protocol", "name"), DIRECTIONS)
def test_requests_with_odd_values_are_translated_or_refused(source: str, protocol: str, name: str) -> None:
    """What is sent is JSON, and what is listed as dropped can stand in a header."""
    chance = random.Random(7)
    for case in vectors(f"{name}_requests") + vectors(f"{name}_refused"):
        for _ in range(ROUNDS):
            try:
                result = found(source, protocol).request(
                    altered(chance, case["request"]), "small", drop=chance.random() < 0.5
                )
            except CannotTranslate:
                continue
            assert isinstance(orjson.loads(result.body), dict)
            assert all(one.isascii() and one.isprintable() for one in result.dropped)


@pytest.mark.parametrize(("source", "protocol", "name"), DIRECTIONS)
def test_whole_answers_with_odd_values_are_translated_or_are_errors_of_the_provider(
    source: str, protocol: str, name: str
) -> None:
    """A client gets JSON, or is told that the provider failed."""
    chance = random.Random(7)
    for case in vectors(f"{name}_answers"):
        request = found(source, protocol).request(
            {"messages" if name != "responses" else "input": [], **case.get("request", {})}, "small"
        )
        for _ in range(ROUNDS):
            try:
                answer = request.answer(orjson.dumps(altered(chance, case["answer"]), default=str))
            except (BadAnswer, orjson.JSONEncodeError):
                continue
            assert isinstance(orjson.loads(answer), dict)


@pytest.mark.parametrize(
    ("source", "protocol", "name", "events"),
    [(*DIRECTIONS[0], "chunks"), (*DIRECTIONS[1], "chunks"), (*DIRECTIONS[2], "events")],
)
def test_streams_with_odd_values_end_once(source: str, protocol: str, name: str, events: str) -> None:
    """A client gets events of JSON, and one end: that of its protocol, or an error."""
    chance = random.Random(7)
    for case in vectors(f"{'messages' if name == 'responses' else name}_streams"):
        request: dict[str, Any] = {} if name == "responses" else case.get("request", {})
        asked = found(source, protocol).request(
            {"input" if name == "responses" else "messages": [], **request}, "small"
        )
        for _ in range(ROUNDS):
            stream = asked.stream()
            written = b""
            for one in altered(chance, case[events]):
                document = one[1] if isinstance(one, list) and len(one) == 2 else one
                data = document.encode() if isinstance(document, str) else written_as_json(document)
                written += stream.event(sent(data))
            written += stream.end()
            assert stream.finished
            assert stream.end() == b""
            assert sum(is_end(event) for event in events_of(written)) == 1


def written_as_json(document: Any) -> bytes:
    """JSON, also of what is deeper than orjson writes."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        return b'{"choices":' + b"[" * 400 + b"]" * 400 + b"}"


def is_end(event: Any) -> bool:
    """Whether nothing may follow an event."""
    if event == "[DONE]" or "error" in event:
        return True
    return event.get("type") in {"message_stop", "response.completed", "response.incomplete", "response.failed"}


def nested(depth: int) -> dict[str, Any]:
    """A document inside a document, and so on."""
    block: dict[str, Any] = {"type": "text", "text": "x"}
    for _ in range(depth):
        block = {"type": "document", "source": {"type": "content", "content": [block]}}
    return {"messages": [{"role": "user", "content": [block]}]}


def test_documents_inside_documents_are_refused() -> None:
    """However deep they are: the stack of the gateway is not the client's."""
    for depth in (2, 300):
        with pytest.raises(CannotTranslate):
            found("anthropic.messages", "openai").request(nested(depth), "small")


MANY: dict[str, Any] = {
    "anthropic.messages": {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "ab"}] * 60_000}]},
    "openai.responses": {"input": [{"role": "user", "content": "a"}] * 60_000},
    "openai.chat": {"messages": [{"role": "user", "content": "a"}] * 60_000},
}


@pytest.mark.parametrize(("source", "protocol", "name"), DIRECTIONS)
def test_more_parts_than_can_be_read_in_time_are_refused(source: str, protocol: str, name: str) -> None:
    """Translating holds up all other requests."""
    with pytest.raises(CannotTranslate, match="50000"):
        found(source, protocol).request(MANY[source], "small")


def test_what_a_client_sends_as_a_type_is_shown_in_bounds() -> None:
    """Messages of errors have one line, and are short."""
    with pytest.raises(CannotTranslate) as refused:
        found("openai.chat", "anthropic").request({"messages": [], "tools": [{"type": "x\r\n" * 1000}]}, "small")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


def test_the_time_for_a_request_grows_with_its_length_only() -> None:
    """Thousands of calls in one turn, with the same ids, or of texts in one message."""
    calls = [{"id": "call", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turn = [{"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "call", "content": "x"}]
    many = [{**calls[0], "id": f"call{number}"} for number in range(8000)]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "x"} for call in many]
    began = time.process_time()
    request = found("openai.chat", "anthropic").request
    request({"messages": turn * 8000}, "small")
    request({"messages": [{"role": "assistant", "tool_calls": many}, *results]}, "small")
    found("anthropic.messages", "openai").request({"messages": [{"role": "user", "content": "a"}] * 20_000}, "small")
    assert time.process_time() - began < 4
