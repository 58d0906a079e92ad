"""What a file is that is sent to a model: a text, which it reads word by word, or pictures, sound, and documents."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

BEGINNING: Final = 4096
"""Letters of a file in base64 that say whether it is a text."""

TEXT: Final = re.compile(
    r"text/.*|image/svg\+xml|application/(?:.*[+.-])?(?:json|jsonl|ndjson|xml|ya?ml|csv|toml|javascript|sql|graphql)",
    re.IGNORECASE,
)
NO_TEXT: Final = re.compile(r"(?:image|audio|video|font)/.*|application/pdf", re.IGNORECASE)
_PDF: Final = b"%PDF"
_SIGNATURES: Final = (
    *(_PDF, b"PK\3\4", b"\xd0\xcf\x11\xe0"),  # documents, also of offices
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"ID3", b"OggS", b"fLaC", b"\x1aE\xdf\xa3"),
)
_MEDIA_TYPES: Final = ("media_type", "mimeType", "mime_type")
_URL_LETTERS: Final = str.maketrans("-_", "+/", "\r\n\t =")


def media_type(holder: Mapping[str, Any]) -> str:
    """That of the file in this object, as it is called there; empty where it is not."""
    return next((said for name in _MEDIA_TYPES if isinstance(said := holder.get(name), str)), "")


def is_text(media: str, data: str) -> bool:
    """Whether a file of this media type, in base64, is read as a text: all that is not known to be something else.

    What it is called does not make a picture of a text. Raises binascii.Error.
    """
    begins = beginning(data)
    if TEXT.fullmatch(media) or looks_like_text(begins, whole=len(data) <= BEGINNING):
        return True
    return not NO_TEXT.fullmatch(media) and not begins.startswith(_SIGNATURES)


def decoded(data: str) -> bytes:
    """Base64 of either alphabet, in lines or not, with or without its end. Raises binascii.Error."""
    plain = data.translate(_URL_LETTERS)
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def beginning(data: str) -> bytes:
    """The first bytes of a file in base64. Raises binascii.Error."""
    if len(data) <= BEGINNING:
        return decoded(data)
    plain = data[:BEGINNING].translate(_URL_LETTERS)
    return base64.b64decode(plain[: len(plain) // 4 * 4], validate=True)


def looks_like_text(content: bytes, *, whole: bool) -> bool:
    """Whether this is UTF-8, and no PDF. Not `whole`: the beginning of a file, whose last character may be cut."""
    if b"\0" in content or content.startswith(_PDF):
        return False
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return not whole and error.start >= len(content) - 3
    return True
