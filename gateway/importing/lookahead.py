"""Expressions that look around, as ones that do not."""

from __future__ import annotations

import re

_WORD = r"(?:[\w/.-]|\\[./_-])+"
_LAST = re.compile(
    rf"(?P<before>.*?)\(\?!(?:\(\?:)?(?P<words>{_WORD}(?:\|{_WORD})*)\)?\)(?P<after>(?:\.\*)?\$?)", re.DOTALL
)
_AROUND = re.compile(r"\(\?<?[=!](?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)")


def not_followed(expression: str) -> str | None:
    """The same expression without `(?!word|other)` at its end; None where it looks around in another way. One that
    does not look around is returned as it is."""
    if _AROUND.search(expression) is None:
        return expression
    match = _LAST.fullmatch(expression)
    if match is None or _AROUND.search(match["before"]) or (match["after"] == "$"):
        return None
    words = [word.replace("\\", "") for word in match["words"].split("|")]
    return f"{match['before']}{_others(words)}$"


def without_looking(expression: str) -> str:
    """The expression without its conditions on what is around: it fits all that it did, and more."""
    return _AROUND.sub("", expression)


def _others(words: list[str]) -> str:
    """Any text that begins with none of these words."""
    after: dict[str, list[str]] = {}
    for word in words:
        after.setdefault(word[0], []).append(word[1:])
    others = "".join(f"\\{first}" if first in "-]\\^" else first for first in after)
    choices = [f"[^{others}].*"]
    choices += [re.escape(first) + _others(rest) for first, rest in after.items() if "" not in rest]
    return f"(?:{'|'.join(choices)})?"
