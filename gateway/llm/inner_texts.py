"""Texts within other values: in files of plain text, in base64 or as they are, and in reasoning that a translation
has sealed.

They are what a model or a client reads, so that guardrails look at them, and not at what they are written in.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from gateway.llm.translate import reasoning

_DATA_URL: Final = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)  # RFC 2397
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\r\n-]*+=*+[\r\n]*+")
_TEXT: Final = re.compile(
    r"text/.*|image/svg\+xml|application/(?:.*[+.-])?(?:json|jsonl|ndjson|xml|ya?ml|csv|toml|javascript|sql|graphql)",
    re.IGNORECASE,
)
_NO_TEXT: Final = re.compile(r"(?:image|audio|video|font)/.*|application/pdf", re.IGNORECASE)
_MEDIA_TYPES: Final = ("media_type", "mimeType", "mime_type")
_BESIDE: Final = str.maketrans("-_", "+/", "\r\n\t =")
_SEEN: Final = 4096  # characters of a file whose kind is unknown, to see whether it is text
_PDF: Final = b"%PDF"


class Inner(NamedTuple):
    """A text, and the value in whose place it stands with another one."""

    text: str
    written: Callable[[str], str]


def as_it_is(text: str) -> Inner:
    """A text that stands for itself."""
    return Inner(text, str)


def of_file(value: str, holder: Mapping[str, Any]) -> Inner | None:
    """The text of a file that is sent in a member of this object; None where the file is none of text."""
    if holder.get("type") == "text":
        return as_it_is(value)
    if _DATA_URL.match(value) is not None:
        return of_url(value)
    media = next((said for name in _MEDIA_TYPES if isinstance(said := holder.get(name), str)), "")
    return _of_base64("", value, media) if _BASE64.fullmatch(value) else as_it_is(value)


def of_url(value: str) -> Inner | None:
    """The text in a data URL, None where that is a file without any; any other URL is a text itself."""
    head = _DATA_URL.match(value)
    if head is None:
        return as_it_is(value)
    if ";base64" in head[2].lower():
        return _of_base64(head[0], value[head.end() :], head[1])
    return Inner(_text(unquote_to_bytes(value[head.end() :])), partial(_in_url, head[0]))


def of_encrypted(value: str) -> Inner | None:
    """The reasoning in what a translation hands out as encrypted; None in what a provider has encrypted."""
    found = reasoning.unsealed(value)
    return None if found is None else Inner(found[2], partial(reasoning.sealed, found[0], found[1]))


def _of_base64(head: str, data: str, media: str) -> Inner | None:
    is_text = _TEXT.fullmatch(media) is not None
    if not is_text and _NO_TEXT.fullmatch(media):
        return None
    plain = data.translate(_BESIDE)
    try:
        if not is_text and not _looks_like_text(base64.b64decode(_padded(plain[:_SEEN])), whole=len(plain) <= _SEEN):
            return None
        content = base64.b64decode(_padded(plain), validate=True)
    except binascii.Error:
        return as_it_is(head + data)
    return (
        Inner(_text(content), partial(_in_base64, head)) if is_text or _looks_like_text(content, whole=True) else None
    )


def _padded(data: str) -> str:
    return data + "=" * (-len(data) % 4)


def _looks_like_text(content: bytes, *, whole: bool) -> bool:
    if b"\0" in content or content.startswith(_PDF):
        return False
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return not whole and error.start >= len(content) - 3  # a character that is cut
    return True


def _text(content: bytes) -> str:
    """Bytes that are no UTF-8 are kept, as halves of characters."""
    return content.decode("utf-8", "surrogateescape")


def _in_base64(head: str, text: str) -> str:
    return head + base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _in_url(head: str, text: str) -> str:
    return head + quote(text.encode("utf-8", "surrogateescape"))
