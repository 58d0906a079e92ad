"""Errors and warnings of the files, each with its place."""

import difflib
import json
import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

Path = tuple[str | int, ...]
"""The way from the top of a file to a value: keys of mappings and indexes of lists."""

Severity = Literal["error", "warning"]

MOST_PROBLEMS: Final = 1000
"""Of one file, or of one look at all: who has more corrects these first. A few aliases in YAML make millions."""
MOST_FOUND: Final = 10 * MOST_PROBLEMS
"""Among which many may be the same: what is handed down to several is found in each of them."""

_AND_MORE: Final = "and more"
_NAMES_COMPARED: Final = 200  # with one that is not known: to compare it with thousands takes a twentieth of a second

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


def at_most(problems: Iterable[Problem], most: int = MOST_PROBLEMS) -> tuple[list[Problem], bool]:
    """The first of these, each once, and whether there may be more."""
    kept: dict[Problem, None] = {}
    for looked_at, problem in enumerate(problems):
        if looked_at >= MOST_FOUND or (len(kept) >= most and problem not in kept):
            return list(kept), True
        kept[problem] = None
    return list(kept), False


def and_more(file: str, most: int = MOST_PROBLEMS, severity: Severity = "error") -> Problem:
    """What stands behind those that `at_most` has kept."""
    message = f"{_AND_MORE}: at most {most:,} are looked for at once; correct these first"
    return Problem(file, 0, 0, "", message, severity)


def says_more(problem: Problem) -> bool:
    """Whether it is only that there are more."""
    return problem.message.startswith(_AND_MORE)


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
    return _suggested(word[:100].lower().replace("-", "_"), tuple(known), likeness)


@lru_cache(1024)  # many errors are about the same word
def _suggested(word: str, known: tuple[str, ...], likeness: float) -> str | None:
    plain = {name.lower().replace("-", "_"): name for name in known}
    near = plain if len(plain) <= _NAMES_COMPARED else _alike(word, tuple(plain))
    close = difflib.get_close_matches(word, near, 1, likeness)
    return plain[close[0]] if close else None


def _alike(word: str, names: tuple[str, ...]) -> list[str]:
    """Those that begin like this word, or end like it."""
    forwards, backwards = _sorted(names)
    reverse = word[::-1]
    begin, end = bisect(forwards, word), bisect(backwards, reverse)
    some = _NAMES_COMPARED // 4
    ends = backwards[max(end - some, 0) : end + some]
    return [*forwards[max(begin - some, 0) : begin + some], *(name[::-1] for name in ends)]


@lru_cache(4)
def _sorted(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    return sorted(names), sorted(name[::-1] for name in names)
