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

from gateway.llm.file_kinds import BEGINNING, TEXT, beginning, decoded, looks_like_text, media_type
from gateway.llm.translate import reasoning

_DATA_URL: Final = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)  # RFC 2397
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\r\n-]*+=*+[\r\n]*+")


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
    return _of_base64("", value, media_type(holder)) if _BASE64.fullmatch(value) else as_it_is(value)


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
    named = TEXT.fullmatch(media) is not None
    try:
        if not named and not looks_like_text(beginning(data), whole=len(data) <= BEGINNING):
            return None
        content = decoded(data)
    except binascii.Error:
        return as_it_is(head + data)
    return Inner(_text(content), partial(_in_base64, head)) if named or looks_like_text(content, whole=True) else None


def _text(content: bytes) -> str:
    """Bytes that are no UTF-8 are kept, as halves of characters."""
    return content.decode("utf-8", "surrogateescape")


def _in_base64(head: str, text: str) -> str:
    return head + base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _in_url(head: str, text: str) -> str:
    return head + quote(text.encode("utf-8", "surrogateescape"))
