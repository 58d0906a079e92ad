"""Bytes to text, and what YAML's parser says of it to what a person can do about it."""

import re
from typing import Any

import yaml

from gateway.config.problems import Problem

MAX_BYTES = 16 * 1024**2

_UNPRINTABLE_ASCII = re.compile("[^\t\n\r\x20-\x7e]")
_UNPRINTABLE = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
"""Compiled for the first text that is not ASCII: that takes as long as twenty others."""
_REMEDIES = (
    ("cannot start any token", "put the value in quotes"),
    ("mapping values are not allowed", 'check the indentation, and put a value that contains ": " in quotes'),
    ("could not find expected ':'", 'after a key there must be ":" and a space'),
    ("while scanning a simple key", 'after a key there must be ":" and a space'),
    ("end of stream", "close the quotes"),
    ("while parsing a flow", "close the bracket, and put values that contain [ ] { } or , in quotes"),
    ("while parsing a block", "check the indentation: keys of one level begin in the same column"),
    ("escape", 'in "..." a backslash begins an escape; write it twice, or use single quotes'),
)


class DocumentError(Exception):
    """The text is not YAML that we read; nothing after `problem` was looked at."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def decode(file: str, data: bytes) -> str:
    """The text of a file; raises DocumentError when it is too large or not clean UTF-8."""
    if len(data) > MAX_BYTES:
        raise DocumentError(
            Problem(file, 0, 0, "", f"the file is larger than {MAX_BYTES // 1024**2} MiB; make it smaller")
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        message = "the file begins with a byte order mark; save it as UTF-8 without one (BOM)"
        raise DocumentError(Problem(file, 1, 1, "", message))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8"))
        raise DocumentError(Problem(file, line, column, "", "this is not UTF-8; save the file as UTF-8")) from None
    match = _UNPRINTABLE_ASCII.search(text) if text.isascii() else re.search(_UNPRINTABLE, text)
    if match is not None:
        line, column = _position(text[: match.start()])
        message = f"the character U+{ord(match[0]):04X} is not allowed in YAML; remove it"
        raise DocumentError(Problem(file, line, column, "", message))
    return text


def _position(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def syntax_problem(file: str, text: str, error: yaml.YAMLError) -> Problem:
    """Where and why the parser stopped, and what to do."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return Problem(file, 0, 0, "", "this is not YAML; check the file")
    mark: Any = error.problem_mark or error.context_mark
    lines = text.rstrip().split("\n")
    if error.context_mark is not None and (mark.line >= len(lines) or "end of stream" in (error.problem or "")):
        mark = error.context_mark  # what is never closed is of interest where it begins
    line = lines[mark.line] if mark.line < len(lines) else ""
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation + line[mark.column : mark.column + 1]:
        return Problem(file, mark.line + 1, mark.column + 1, "", "YAML does not indent with tabs; use spaces")
    sentence = ", ".join(part for part in (error.context, error.problem) if part)
    remedy = next((remedy for part, remedy in _REMEDIES if part in sentence), "check the lines around it")
    return Problem(file, mark.line + 1, mark.column + 1, "", f"this is not YAML ({sentence}); {remedy}")
