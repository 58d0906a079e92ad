"""Nothing that clients or providers send raises anything but the errors that translations have."""

from __future__ import annotations

import copy
import random
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
