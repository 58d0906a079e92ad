"""Errors and warnings of the files, each with its place."""

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Path = tuple[str | int, ...]
"""The way from the top of a file to a value: keys of mappings and indexes of lists."""

Severity = Literal["error", "warning"]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Problem:
    """One error or warning. `line` and `column` count from 1; `line` is 0 when it is about the file as a whole."""

    file: str
    line: int
    column: int
    where: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        """The problem as text: `routes.yaml:12:5: routes[1].upstrem: unknown key; did you mean "upstream"?`."""
        position = f":{self.line}:{self.column}" if self.line else ""
        return f"{self.file}{position}: " + (f"{self.where}: " if self.where else "") + self.message


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem whose line is not looked up yet. `hint` repeats (part of) the value, which may be a secret."""

    path: Path
    message: str
    hint: str = ""
    show_value: bool = True


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has every error of all files, in their order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def format_path(path: Path) -> str:
    """A path as people read it: `routes[1].timeout.connect`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{quote(step)}]"
    return text


def quote(text: str) -> str:
    """A text from a file, in quotes, on one line and not too long."""
    return json.dumps(text if len(text) <= 60 else text[:57] + "...", ensure_ascii=not text.isprintable())


def suggest(word: str, known: list[str], likeness: float = 0.6) -> str | None:
    """The known word that is most like this one, letter case and kind of hyphen aside."""
    plain = {name.lower().replace("-", "_"): name for name in known}
    close = difflib.get_close_matches(word[:100].lower().replace("-", "_"), plain, 1, likeness)
    return plain[close[0]] if close else None
