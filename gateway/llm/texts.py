"""How much of a request is text, which estimates of tokens begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.llm.apis import Family

_MARKS: Final = {
    "openai": (b"base64", b'"input_audio"'),
    "anthropic": (b"base64",),
    "gemini": (b'"inlineData"', b'"inline_data"'),
}
"""What a body with a file in it has somewhere, by protocol: looking for each costs as much as parsing."""

_SHORTEST: Final = 256
"""Bytes of what counts as a file: less than that makes no difference."""

_SMALL: Final = 2048
"""Bytes of a body that is not searched for files."""


def text_bytes(body: bytes, document: Mapping[str, Any], family: Family) -> int:
    """The bytes of a body without the files in it: pictures and sound, in base64, cost by their size, not by that."""
    if len(body) < _SMALL or not any(mark in body for mark in _MARKS[family]):
        return len(body) if document else 0
    files = 0
    rest: list[object] = [document]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif isinstance(value, dict):
            for name, inner in value.items():
                if not isinstance(inner, str):
                    rest.append(inner)
                elif len(inner) >= _SHORTEST and _is_file(name, inner):
                    files += len(inner)
    return max(0, len(body) - files)


def _is_file(name: str, text: str) -> bool:
    if text.startswith("data:"):
        return ";base64," in text[:_SHORTEST]
    return name in ("data", "file_data") and " " not in text and text.isascii()
