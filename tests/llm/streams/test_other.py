"""Streams of sound, transcripts and images."""

import pytest

from gateway.llm.streams.other import OtherReader
from gateway.llm.streams.reader import Kind
from gateway.llm.usage import Usage
from tests.llm.streams.support import event, kinds, raw

USED = {"input_tokens": 14, "output_tokens": 45, "total_tokens": 59}


@pytest.mark.parametrize(
    ("middle", "last"),
    [
        ({"type": "transcript.text.delta", "delta": "abc"}, {"type": "transcript.text.done", "text": "abc"}),
        ({"type": "image_generation.partial_image", "b64_json": "AA=="}, {"type": "image_generation.completed"}),
        ({"type": "speech.audio.delta", "audio": "AA=="}, {"type": "speech.audio.done"}),
    ],
)
def test_the_last_event_has_the_usage(middle: dict[str, str], last: dict[str, str]) -> None:
    """All events are content; the stream is whole with the last one."""
    reader = OtherReader()
    assert reader.read(event(middle)) is Kind.CONTENT
    assert reader.is_cut_off
    assert reader.read(event({**last, "usage": USED})) is Kind.CONTENT
    assert (reader.finished, reader.usage) == (True, Usage(14, 45))


def test_other_events_are_harmless() -> None:
    """An end of another kind, an error, a comment, and what cannot be read."""
    reader = OtherReader()
    events = [raw(b""), raw(b"{"), event({"error": {"message": "m"}}), raw(b"[DONE]"), event({"delta": "late"})]
    assert kinds(reader, events) == [Kind.LIFECYCLE, Kind.OTHER, Kind.ERROR, Kind.FINAL, Kind.OTHER]
