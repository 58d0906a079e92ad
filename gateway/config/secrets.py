"""The secrets that the files hold or name, so that no log line and no answer repeats one of them."""

from __future__ import annotations

import re
from urllib.parse import quote

HIDDEN = "(hidden)"

SHORTEST = 6  # characters: a shorter text also stands where it is no secret
MOST_TEXTS = 10_000
MOST_CHARACTERS = 4 * 1024**2
FEW = 256  # secrets of which each is looked for; of more of them, how each begins

_NAME = re.compile(
    r"pass(word|wd|phrase|code)?|secret|token|key|credential|private|dsn|auth|cookie|webhook", re.IGNORECASE
)
_USER_INFORMATION = re.compile(r"(?<=://)(?!\[user:password@\])(?:[^/@\s'\"]*:[^/@\s'\"]*|[^/@:\s'\"]+)(?=@)")

_PARAMETER = re.compile(
    r"(?<=[?&;])([^?&;=\s'\"]{0,64}(?:pass|secret|token|key|credential|auth|sig)[^?&;=\s'\"]{0,64}=)[^&;\s'\"]+",
    re.IGNORECASE,
)


def names_a_secret(name: str) -> bool:
    """Whether a variable or a key of this name probably holds a secret: `DB_PASSWORD`, `api_key`."""
    return _NAME.search(name) is not None


class KnownSecrets:
    """Texts that are hidden wherever they appear. Bounded: beyond MOST_TEXTS the oldest are forgotten."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._lengths: dict[str, dict[int, int]] = {}  # by their first SHORTEST characters: how many have which length
        self._characters = 0

    def add(self, secret: str) -> None:
        """Hide it from now on, also where it is percent-encoded or written as a literal."""
        for text in (secret, quote(secret, safe=""), repr(secret)[1:-1]):
            if len(text) < SHORTEST or text in self._texts:
                continue
            self._texts[text] = None
            self._characters += len(text)
            lengths = self._lengths.setdefault(text[:SHORTEST], {})
            lengths[len(text)] = lengths.get(len(text), 0) + 1
        while len(self._texts) > MOST_TEXTS or self._characters > MOST_CHARACTERS:
            self._forget(next(iter(self._texts)))

    def hide(self, text: str) -> str:
        """The text without what is secret in it: known secrets, and of every URL the user and password, and
        parameters that are called like secrets. How long that takes, depends on the text, not on how many are known."""
        text = self._without_known(text)
        if "@" in text:
            text = _USER_INFORMATION.sub(HIDDEN, text)
        return _PARAMETER.sub(rf"\1{HIDDEN}", text) if "=" in text else text

    def _without_known(self, text: str) -> str:
        if len(self._texts) <= FEW and not any(map(text.__contains__, self._texts)):
            return text
        place = kept = 0
        pieces: list[str] = []
        while place <= len(text) - SHORTEST:
            end = self._end(text, place)
            if end == place:
                place += 1
                continue
            pieces += (text[kept:place], HIDDEN)
            place = kept = end
        return "".join([*pieces, text[kept:]]) if pieces else text

    def _end(self, text: str, place: int) -> int:
        """Where the longest known secret that begins at this place ends; the place itself where none begins."""
        for length in sorted(self._lengths.get(text[place : place + SHORTEST], ()), reverse=True):
            if text[place : place + length] in self._texts:
                return place + length
        return place

    def _forget(self, text: str) -> None:
        del self._texts[text]
        self._characters -= len(text)
        lengths = self._lengths[text[:SHORTEST]]
        lengths[len(text)] -= 1
        if not lengths[len(text)]:
            del lengths[len(text)]
        if not lengths:
            del self._lengths[text[:SHORTEST]]
