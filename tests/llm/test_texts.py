"""How much of a request is text."""

import base64
import json
from typing import Any

import pytest

from gateway.llm.apis import find
from gateway.llm.request import read

DATA = base64.b64encode(bytes(range(256)) * 200).decode()


def text_bytes(path: str, document: dict[str, Any]) -> int:
    """The bytes of text in a request."""
    call = find("POST", path)
    assert call is not None
    return read(call, json.dumps(document).encode()).text_bytes


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/v1/chat/completions", {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}),
        ("/v1/chat/completions", {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}),
        ("/v1/responses", {"type": "input_image", "image_url": f"data:image/png;base64,{DATA}"}),
        ("/v1/messages", {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}),
        ("/v1beta/models/m:generateContent", {"inlineData": {"mimeType": "image/png", "data": DATA}}),
        ("/v1beta/models/m:generateContent", {"inline_data": {"mime_type": "image/png", "data": DATA}}),
    ],
)
def test_files_are_hardly_text(path: str, part: dict[str, Any]) -> None:
    """A picture would otherwise be estimated at hundreds of thousands of tokens; but nothing is free."""
    document = {"model": "m", "messages": [{"content": [{"text": "x" * 3000}, part]}]}
    assert 3300 < text_bytes(path, document) < 4000


def test_a_picture_counts_no_more_than_providers_take_for_one() -> None:
    """They make large ones smaller."""
    photo = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(6_000_000)).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{photo}"}}
    document = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    assert text_bytes("/v1/chat/completions", document) < 17_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "tool_result", "content": [{"type": "image", "source": {"media_type": "image/png", "data": DATA}}]},
        {"type": "document", "source": {"content": [{"source": {"media_type": "image/png", "data": DATA}}]}},
        {"functionResponse": {"name": "f", "parts": [{"inlineData": {"mimeType": "audio/wav", "data": DATA}}]}},
        {"type": "function_call_output", "output": [{"type": "input_image", "image_url": f"data:;base64,{DATA}"}]},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": base64.b64encode(b"%PDF-1.7" * 9000).decode()}},
    ],
)
def test_files_within_parts_are_hardly_text(part: dict[str, Any]) -> None:
    """Those of what tools answer, and of documents."""
    assert text_bytes("/v1/messages", {"model": "m", "messages": [{"content": [part]}]}) < 2000


LONG = "word" * 10_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": f"data:x;base64,{LONG}"},
        {"text": f"data:image/png;base64,{LONG}"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "word " * 8000}},
        {"type": "image_url", "image_url": {"url": "https://example.com/" + LONG}},
        {"type": "tool_use", "input": {"data": LONG, "image_url": f"data:image/png;base64,{DATA}"}},
        {"type": "function", "description": {"data": LONG}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": LONG}},
        {"functionResponse": {"name": "f", "response": {"data": LONG, "inlineData": {"data": LONG}}}},
        {"name": "f", "data": LONG},
    ],
)
def test_a_text_that_looks_like_a_file_counts(part: dict[str, Any]) -> None:
    """What a model reads cannot be had for nothing by calling it a file."""
    document = {"model": "m", "messages": [{"role": "user", "content": [part, {"type": "image_url"}]}]}
    assert text_bytes("/v1/chat/completions", document) == len(json.dumps(document))


@pytest.mark.parametrize("media", ["text/plain", "application/json", "image/png", "application/octet-stream", ""])
def test_a_file_of_text_counts_as_its_text(media: str) -> None:
    """Whatever it says that it is."""
    file = f"data:{media};base64,{base64.b64encode(b'a word ' * 10_000).decode()}"
    part = {"type": "file", "file": {"filename": "a.txt", "file_data": file}}
    document = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    assert 70_000 <= text_bytes("/v1/chat/completions", document) < 70_300


def test_all_else_is_text() -> None:
    """Also what only looks like data, and bodies that are small."""
    document = {"model": "m", "messages": [{"content": "base64 " + "x " * 2000, "data": "a word " * 100}]}
    assert text_bytes("/v1/chat/completions", document) == len(json.dumps(document))
    assert text_bytes("/v1/chat/completions", {"model": "m"}) == 14
