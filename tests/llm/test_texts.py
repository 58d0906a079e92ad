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
def test_files_are_no_text(path: str, part: dict[str, Any]) -> None:
    """A picture would otherwise be estimated at hundreds of thousands of tokens."""
    assert text_bytes(path, {"model": "m", "messages": [{"content": [{"text": "x" * 3000}, part]}]}) < 3400


def test_all_else_is_text() -> None:
    """Also what only looks like data, and bodies that are small."""
    document = {"model": "m", "messages": [{"content": "base64 " + "x " * 2000, "data": "a word " * 100}]}
    assert text_bytes("/v1/chat/completions", document) == len(json.dumps(document))
    assert text_bytes("/v1/chat/completions", {"model": "m"}) == 14
