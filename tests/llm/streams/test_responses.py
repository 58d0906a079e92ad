"""Streams of OpenAI's responses."""

from typing import Any

import orjson
import pytest

from gateway.llm.sse import Event
from gateway.llm.streams.errors import ProviderError
from gateway.llm.streams.reader import Kind
from gateway.llm.streams.responses import ResponsesReader
from gateway.llm.usage import Usage
from tests.llm.streams.support import event, kinds, raw

USED = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 10},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 15},
    "total_tokens": 50,
}
USAGE = Usage(30, 20, cache_read=10, reasoning=15)


def said(kind: str, number: int = 0, **more: Any) -> Event:
    """One event."""
    return event({"type": kind, "sequence_number": number, **more}, kind)


def response(status: str, **more: Any) -> dict[str, Any]:
    """A response, as the first and the last event have it."""
    return {"id": "resp_1", "object": "response", "created_at": 7, "status": status, "model": "m-1", **more}


CREATED = said("response.created", 0, response=response("in_progress", usage=None, error=None))


def test_an_ordinary_stream_is_read_to_its_end() -> None:
    """Items that are empty are no content; the usage stands in the last event."""
    reader = ResponsesReader()
    message = {"type": "message", "id": "i", "content": [], "role": "assistant"}
    events = [
        CREATED,
        said("response.in_progress", 1, response=response("in_progress")),
        said("response.output_item.added", 2, output_index=0, item=message),
        said("response.content_part.added", 3, part={"type": "output_text", "text": ""}),
        said("response.output_text.delta", 4, delta="h\u00e9"),
        said("response.output_text.done", 5, text="h\u00e9"),
    ]
    assert kinds(reader, events) == [Kind.LIFECYCLE] * 4 + [Kind.CONTENT] * 2
    assert reader.is_cut_off
    assert reader.read(said("response.completed", 6, response=response("completed", usage=USED))) is Kind.FINAL
    assert (reader.usage, reader.model, reader.text_bytes, reader.finished) == (USAGE, "m-1", 3, True)


@pytest.mark.parametrize("status", ["incomplete", "completed", "cancelled"])
def test_each_way_to_end_has_a_usage(status: str) -> None:
    """Also of an answer that met its limit: it is whole as far as the stream goes."""
    reader = ResponsesReader()
    reader.read(said(f"response.{status}", 1, response=response(status, usage=USED)))
    assert (reader.usage, reader.finished) == (USAGE, True)


def test_a_failed_response_has_a_usage_too() -> None:
    """The provider said that it failed: the stream is not cut off, and what it took counts."""
    reader = ResponsesReader()
    error = {"code": "rate_limit_exceeded", "message": "m"}
    failed = said("response.failed", 1, response=response("failed", usage=USED, error=error))
    assert reader.read(failed) is Kind.ERROR
    assert reader.error == ProviderError(429, "rate_limit_exceeded", "m")
    assert (reader.usage, reader.finished, reader.is_cut_off) == (USAGE, False, False)


def test_a_failed_response_without_a_reason_is_an_error() -> None:
    """Whatever it leaves out."""
    reader = ResponsesReader()
    assert reader.read(said("response.failed", 1, response=response("failed", error=None))) is Kind.ERROR
    assert not reader.is_cut_off


def test_an_error_event_is_an_error() -> None:
    """It has code and message itself, or in a member."""
    reader = ResponsesReader()
    assert reader.read(said("error", 3, code="server_error", message="m", param=None)) is Kind.ERROR
    assert reader.error == ProviderError(500, "server_error", "m")
    other = ResponsesReader()
    assert other.read(event({"error": {"message": "m", "type": "server_error"}})) is Kind.ERROR


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (said("response.output_item.added", output_index=0, item={"type": "reasoning", "summary": []}), Kind.LIFECYCLE),
        (said("response.output_item.added", output_index=0, item={"type": "function_call", "name": "f"}), Kind.CONTENT),
        (said("response.output_item.done", output_index=0, item={"type": "reasoning", "encrypted_content": "x"}),
         Kind.CONTENT),
        (said("response.reasoning_summary_part.added", part={"type": "summary_text", "text": ""}), Kind.LIFECYCLE),
        (said("response.reasoning_summary_text.delta", delta="x"), Kind.CONTENT),
        (said("response.function_call_arguments.delta", delta="{"), Kind.CONTENT),
        (said("response.refusal.delta", delta="no"), Kind.CONTENT),
        (said("response.image_generation_call.partial_image", partial_image_b64="AA=="), Kind.CONTENT),
        (said("response.queued", response=response("queued")), Kind.LIFECYCLE),
        (said("keepalive"), Kind.LIFECYCLE),
        (raw(b""), Kind.LIFECYCLE),
        (raw(b"[DONE]"), Kind.FINAL),
        (raw(b"{"), Kind.OTHER),
        (event({"type": {}}), Kind.OTHER),
        (said("response.created", response=5), Kind.LIFECYCLE),
        (said("response.output_item.added", output_index="x", item=[]), Kind.CONTENT),
    ],
)  # fmt: skip
def test_content_is_what_the_client_could_show(one: Event, kind: Kind) -> None:
    """Text, thoughts, calls, pictures; not what only opens an item."""
    assert ResponsesReader().read(one) is kind


def test_each_call_of_a_tool_is_counted_once() -> None:
    """It is there when it begins, and when it is whole; some servers send only the latter."""
    reader = ResponsesReader()
    call = {"type": "function_call", "name": "f", "arguments": ""}
    custom = {"type": "custom_tool_call", "name": "g"}
    kinds(reader, [said("response.output_item.added", 1, output_index=0, item=call)])
    kinds(reader, [said("response.output_item.done", 2, output_index=0, item={**call, "arguments": "{}"})])
    kinds(reader, [said("response.output_item.done", 3, output_index=1, item=custom)])
    assert reader.tool_calls == ["f", "g"]


def test_a_cut_stream_ends_in_a_failed_response() -> None:
    """With the id of the response, and the number that follows the last event."""
    reader = ResponsesReader()
    kinds(reader, [CREATED, said("response.output_text.delta", 41, delta="x")])
    name, _, data = reader.cut_off("it is cut").partition(b"\n")
    failed = orjson.loads(data.removeprefix(b"data: "))
    assert name == b"event: response.failed"
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", 42)
    assert (failed["response"]["id"], failed["response"]["status"]) == ("resp_1", "failed")
    assert failed["response"]["error"] == {"code": "server_error", "message": "it is cut"}
    assert reader.cut_off("it is cut", within_event=True).startswith(b"\n\nevent: response.failed\n")
