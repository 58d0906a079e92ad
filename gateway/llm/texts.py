"""How much of a request is text, which estimates of tokens begin with."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final

from gateway.llm.file_kinds import is_text, media_type

_PLAIN: Final = frozenset({"text", "input_text", "output_text", "refusal", "tool_use", "thinking", "redacted_thinking"})
"""Types of parts of a message that hold no file."""

_MESSAGES: Final = ("messages", "input", "contents")
_WITHIN: Final = frozenset({"content", "parts", "output", "functionResponse", "function_response"})
"""Members of messages, and of parts of them, that have parts of their own."""

_PICTURES: Final = frozenset({"image_url", "input_image", "image"})
_SOUND: Final = frozenset({"input_audio", "audio_url", "video_url", "input_video"})
_FILES: Final = frozenset({"source", "inlineData", "inline_data", "file", "file_data", "file_url", "document_url"})
_PLACES: Final = _PICTURES | _SOUND | _FILES
"""Members of parts that hold a file, in base64 or as a data URL, themselves or in one of these:"""

_VALUES: Final = ("url", "data", "file_data")

_SHORTEST: Final = 256
"""Bytes of what counts as a file: less than that makes no difference."""

_OF_FILE: Final = 128
"""Bytes of a file in base64 for one of text: what sound and documents cost, about."""

_MOST_OF_PICTURE: Final = 16 * 1024
"""Bytes of text that cost as much as any picture: providers make large ones smaller."""

_SMALL: Final = 2048
"""Bytes of a body that is not searched for files."""

_SOON_SEARCHED: Final = 16 * 1024
"""Bytes of a body through which a word is found sooner than by its messages."""


def text_bytes(body: bytes, document: Mapping[str, Any]) -> int:
    """The bytes of a body, of which files in it count as much as text that costs the same.

    Only where the protocols have them: all that looks like a file elsewhere is read as a text. Files of text are read,
    too; pictures and sound, in base64, cost by their size, not by that.
    """
    if len(body) < _SMALL or (len(body) < _SOON_SEARCHED and b"data" not in body):
        return len(body) if document else 0
    spared = 0
    rest: list[object] = [document.get(name) for name in _MESSAGES]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif isinstance(value, dict) and value.get("type") not in _PLAIN:
            for name, inner in value.items():
                if name in _WITHIN:
                    rest.append(inner)
                elif name in _PLACES:
                    spared += _spared(name, inner)
                    if name == "source" and isinstance(inner, dict):
                        rest.append(inner.get("content"))  # a document of parts
    return max(0, len(body) - spared)


def _spared(place: str, holder: object) -> int:
    """The bytes of what is in such a member beyond those that count."""
    if isinstance(holder, str):
        return _beyond(place, holder, "")
    if not isinstance(holder, dict) or holder.get("type") == "text":
        return 0
    media = media_type(holder)
    return sum(_beyond(place, value, media) for name in _VALUES if isinstance(value := holder.get(name), str))


def _beyond(place: str, value: str, media: str) -> int:
    size = len(value)
    if size < _SHORTEST or not value.isascii() or " " in value:
        return 0
    if value.startswith("data:"):
        head, found, value = value.partition(";base64,")
        if not found or len(head) > _SHORTEST:
            return 0
        media = head[5:].partition(";")[0]
    if not media and place in _PICTURES:
        media = "image/*"
    elif not media and place in _SOUND:
        media = "audio/*"
    try:
        if is_text(media, value):
            return size - len(value) * 3 // 4
    except binascii.Error:
        return 0
    counted = size // _OF_FILE
    return size - (min(counted, _MOST_OF_PICTURE) if media.startswith("image/") else counted)
