"""Output to a terminal, which takes control characters in it for orders."""

from __future__ import annotations

import io
import re
import sys
from typing import TextIO

CLEAR = "\x1b[H\x1b[2J"
"""The beginning of each screen of `gateway top`."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Terminal(io.TextIOWrapper):
    """Shows control characters in names, paths and answers as `\\x1b`; only `CLEAR` at the beginning is one of ours."""

    def write(self, text: str) -> int:
        """Write a text; its line ends and tabs stay."""
        clear = CLEAR if text.startswith(CLEAR) else ""
        shown = _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text.removeprefix(clear))
        return super().write(clear + shown)


def guard_terminals() -> None:
    """Have what goes to a terminal go through `Terminal`; files and pipes get what was written."""
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def _guarded(stream: TextIO) -> TextIO:
    # Closed by the caller of the process, it is None.
    if stream is None or not stream.isatty():
        return stream
    return Terminal(stream.buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=True)
