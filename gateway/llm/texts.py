"""How much of a request is text, which estimates of tokens begin with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PLAIN: Final = frozenset({"text", "input_text", "output_text", "refusal", "tool_use", "thinking", "redacted_thinking"})
"""Types of parts of a message that hold no file."""

_SHORTEST: Final = 256
"""Bytes of what counts as a file: less than that makes no difference."""

_SMALL: Final = 2048
"""Bytes of a body that is not searched for files."""

_SOON_SEARCHED: Final = 16 * 1024
"""Bytes of a body through which a word is found sooner than by its messages."""


def text_bytes(body: bytes, document: Mapping[str, Any]) -> int:
    """The bytes of a body without the files in it: pictures and sound, in base64, cost by their size, not by that."""
    if len(body) < _SMALL or (len(body) < _SOON_SEARCHED and b"data" not in body) or not _may_hold_files(document):
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


def _may_hold_files(document: Mapping[str, Any]) -> bool:
    """By the parts of its messages: looking through all of a body takes longer than parsing it."""
    for name in ("messages", "input", "contents"):
        items = document.get(name)
        if isinstance(items, list):
            for item in items:
                if isinstance(item, dict) and not _is_plain(item):
                    return True
    return False


def _is_plain(item: Mapping[str, Any]) -> bool:
    content = item.get("content", item.get("parts", item.get("output")))
    if isinstance(content, dict):
        return False
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, dict):
                continue
            kind = part.get("type")
            if kind == "tool_result" and isinstance(part.get("content", ""), str):
                continue
            if kind not in _PLAIN and not (kind is None and isinstance(part.get("text"), str) and len(part) == 1):
                return False
    return True


def _is_file(name: str, text: str) -> bool:
    if text.startswith("data:"):
        return ";base64," in text[:_SHORTEST]
    return name in ("data", "file_data") and " " not in text and text.isascii()
