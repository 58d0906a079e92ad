"""Nothing that clients or providers send raises anything but the errors that translations have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gateway.llm.translate.table import translation
from gateway.llm.translate.translation import BadAnswer, CannotTranslate, Translated, Translation
from tests.llm.translate.support import events_of, sent, vectors
from tests.support import computes_within

DIRECTIONS = [
    ("anthropic.messages", "openai", "messages"),
    ("openai.responses", "openai", "responses"),
    ("openai.chat", "anthropic", "chat"),
]
VALUES: list[Any] = [None, True, -1, 2**63, "", "x", [], {}, [None], {"type": []}]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in a document: what holds it, and its key there."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def altered(document: Any) -> Iterator[Any]:
    """The document with another value in one place: each place, each value. It is the same document each time."""
    for holder, key in places(document):
        before = holder[key]
        for value in VALUES:
            holder[key] = value
            yield document
        holder[key] = before


def found(source: str, protocol: str) -> Translation:
    """A translation that there is."""
    one = translation(source, protocol)
    assert one is not None
    return one


@pytest.mark.parametrize(("source", "protocol", "name"), DIRECTIONS)
def test_requests_with_odd_values_are_translated_or_refused(source: str, protocol: str, name: str) -> None:
    """What is sent is JSON, and what is listed as dropped can stand in a header."""
    translate = found(source, protocol).request
    for case in vectors(f"{name}_requests"):
        for request in altered(case["request"]):
            try:
                result = translate(request, "small", drop=True)
            except CannotTranslate:
                continue
            assert isinstance(orjson.loads(result.body), dict)
            assert all(one.isascii() and one.isprintable() for one in result.dropped)


@pytest.mark.parametrize(("source", "protocol", "name"), DIRECTIONS)
def test_whole_answers_with_odd_values_are_translated_or_are_errors_of_the_provider(
    source: str, protocol: str, name: str
) -> None:
    """A client gets JSON, or an error that the provider failed."""
    for case in vectors(f"{name}_answers"):
        asked = found(source, protocol).request(empty(name, case), "small")
        for answer in altered(case["answer"]):
            try:
                made = asked.answer(orjson.dumps(answer))
            except BadAnswer:
                continue
            assert isinstance(orjson.loads(made), dict)


@pytest.mark.parametrize(("source", "protocol", "name"), DIRECTIONS)
def test_streams_with_odd_values_end_once(source: str, protocol: str, name: str) -> None:
    """A client gets events of JSON, and one end: that of its protocol, or an error."""
    recorded, events = ("chat", "events") if name == "chat" else ("messages", "chunks")
    for case in vectors(f"{recorded}_streams"):
        asked = found(source, protocol).request(empty(name, {} if name == "responses" else case), "small")
        for stream in altered(case[events]):
            assert sum(is_end(event) for event in events_of(written(asked, stream))) == 1


def empty(name: str, case: dict[str, Any]) -> dict[str, Any]:
    """A request that says nothing but what a case has of it."""
    return {"input" if name == "responses" else "messages": [], **case.get("request", {})}


def written(asked: Translated, events: list[Any]) -> bytes:
    """What a client gets of a stream."""
    stream, made = asked.stream(), b""
    for one in events:
        document = one[1] if isinstance(one, list) and len(one) == 2 else one
        made += stream.event(sent(document.encode() if isinstance(document, str) else orjson.dumps(document)))
    made += stream.end()
    assert stream.finished
    assert stream.end() == b""
    return made


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

    def translate() -> None:
        request = found("openai.chat", "anthropic").request
        request({"messages": turn * 8000}, "small")
        request({"messages": [{"role": "assistant", "tool_calls": many}, *results]}, "small")
        texts = [{"role": "user", "content": "a"}] * 20_000
        found("anthropic.messages", "openai").request({"messages": texts}, "small")

    assert computes_within(4, translate)
