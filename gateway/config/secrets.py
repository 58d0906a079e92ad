"""The secrets that the files hold or name, so that no log line and no answer repeats one of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

HIDDEN = "(hidden)"

SHORTEST = 6  # characters: a shorter text also stands where it is no secret
MOST_TEXTS = 10_000
MOST_CHARACTERS = 4 * 1024**2

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
        self._characters = 0

    def add(self, secret: str) -> None:
        """Hide it from now on, also where it is percent-encoded or written as a literal."""
        for text in (secret, quote(secret, safe=""), repr(secret)[1:-1]):
            if len(text) < SHORTEST or text in self._texts:
                continue
            self._texts[text] = None
            self._characters += len(text)
        while len(self._texts) > MOST_TEXTS or self._characters > MOST_CHARACTERS:
            oldest = next(iter(self._texts))
            del self._texts[oldest]
            self._characters -= len(oldest)

    def hide(self, text: str) -> str:
        """The text without what is secret in it: known secrets, and of every URL the user and password, and
        parameters that are called like secrets."""
        return self.hider()(text)

    def hider(self) -> Callable[[str], str]:
        """`hide` for many texts, with what is known by now."""
        known = sorted(self._texts, key=len, reverse=True)

        def hide(text: str) -> str:
            for secret in known:
                if secret in text:
                    text = text.replace(secret, HIDDEN)
            if "@" in text:
                text = _USER_INFORMATION.sub(HIDDEN, text)
            return _PARAMETER.sub(rf"\1{HIDDEN}", text) if "=" in text else text

        return hide
