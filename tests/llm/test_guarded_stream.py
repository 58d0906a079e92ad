"""Guarded streams, event by event: whatever the pieces, the client gets the text that is redacted, and in time."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.http.model_record import ModelRecord
from gateway.http.testing import make_exchange
from gateway.llm.apis import CHAT, MESSAGES, Api
from gateway.llm.guarded_stream import GuardedStream
from gateway.llm.guardrails import Guard, Redact, Text, Verdict, Watch
from gateway.llm.sse import EventSplitter

WINDOW = 12
NUMBER = re.compile(r"#\d{4,8}#")


class Numbers:
    """Takes numbers between marks out."""

    def __init__(self, found: re.Pattern[str]) -> None:
        self._found = found

    def on_text(self, text: Text) -> Verdict:
        return Redact.matches(self._found.finditer(text.text), "[n]")


def guarding(api: Api = CHAT, window: int = WINDOW, found: re.Pattern[str] = NUMBER) -> GuardedStream:
    guard = Guard("g", Numbers(found), frozenset({"stream"}), window=window)
    watch = Watch([guard], make_exchange(), ModelRecord("x"))
    return GuardedStream(watch, api, lambda sentence: b"cut: " + sentence.encode(), None)


def chunk(text: str, choice: int = 0, others: str = "x") -> bytes:
    document = {"id": others, "choices": [{"index": choice, "delta": {"content": text}, "logprobs": {"content": []}}]}
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def passed(stream: GuardedStream, data: bytes) -> bytes:
    return b"".join(stream.event(event) for event in EventSplitter().feed(data))


def texts(data: bytes) -> dict[int, str]:
    found: dict[int, str] = {}
    for line in data.decode().splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                found[choice["index"]] = found.get(choice["index"], "") + choice["delta"]["content"]
    return found


PIECES = st.lists(st.tuples(st.integers(0, 1), st.text('#12 aé"\\', max_size=9)), max_size=40)


@given(PIECES)
def test_the_text_is_redacted_however_it_is_split(pieces: list[tuple[int, str]]) -> None:
    """As if it had come whole, in each of two answers that alternate; and every event goes on."""
    stream = guarding()
    given_: dict[int, str] = {}
    data = b""
    for choice, text in pieces:
        given_[choice] = given_.get(choice, "") + text
        data += passed(stream, chunk(text, choice))
    data += stream.end()
    assert texts(data) == {choice: NUMBER.sub("[n]", text) for choice, text in given_.items()}
    assert data.count(b"data:") == len(pieces)
    assert b'"logprobs": null' in data or not pieces


def test_the_client_is_behind_by_the_window_only() -> None:
    """Each event goes on as soon as so many characters have come behind it."""
    stream = guarding()
    said = 0
    for number in range(200):
        data = passed(stream, chunk("abcd"))
        said += len(texts(data).get(0, ""))
        assert said >= (number + 1) * 4 - WINDOW


def test_memory_stays_bounded() -> None:
    """However long the stream is."""
    stream = guarding()
    for _ in range(2000):
        passed(stream, chunk("some words "))
    kept = [channel.kept for channel in stream._channels.values()]
    assert sum(map(len, kept)) < 200
    assert len(stream._waiting) < 5


def test_a_long_window_holds_for_single_characters() -> None:
    """As many as it says, though each comes in an event of many bytes."""
    length = 4000
    stream = guarding(window=length, found=re.compile(r"#\d+#"))
    data = b"".join(passed(stream, chunk(each, others="x" * 300)) for each in f"a #{'1' * (length - 2)}# b")
    assert texts(data + stream.end()) == {0: "a [n] b"}


def test_a_cut_stream_gives_what_waits_and_then_the_error() -> None:
    """Nothing of what came is lost, and nothing that is to be redacted gets out."""
    stream = guarding()
    data = passed(stream, chunk("call #1234")) + passed(stream, chunk("5#"))
    data += stream.cut_off("server_error", "gone")
    assert texts(data) == {0: "call [n]"}
    assert data.endswith(b"cut: gone")


def test_the_end_of_a_block_lets_go_what_waits() -> None:
    """Before the event that ends it, in order."""
    stream = guarding(MESSAGES)
    events: list[dict[str, Any]] = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "#123"}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "45#"}},
        {"type": "content_block_stop", "index": 0},
    ]
    written = [passed(stream, b"data: " + json.dumps(event).encode() + b"\n\n") for event in events]
    assert written[:3] == [b"", b"", b""]
    said = [json.loads(line[6:]) for line in written[3].decode().splitlines() if line]
    assert [event["type"] for event in said] == [event["type"] for event in events]
    assert [event["delta"]["text"] for event in said if "delta" in event] == ["[n]", ""]
