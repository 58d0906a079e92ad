"""Faults on demand."""

from __future__ import annotations

import re
from dataclasses import dataclass

FAILURE = re.compile(r"fail-([45]\d\d)(?:-after-(\d{1,5}))?")
NUMBER = re.compile(r"(slow|words|cached|split)-(\d{1,6})")
SLOW_MILLISECONDS = 50
PLACES = ("before", "after", "at-once")


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one request. The names are those of the parts after the plus.

    `fail-429` or another status: refused so; `fail-429-after-7` has a `Retry-After` of 7 seconds.
    `overflow`: the prompt is too long for the model, as the family says that. `error-200`: 200 with an error object.
    `cut-at-once`, `cut-before`, `cut-after`: the connection is reset before the head, before the first content, or
    after some content. `end-before`, `end-after`: the answer ends there as if it were whole, without a last event.
    `error-before`, `error-after`: an error event there. `stall-at-once`, `stall-before`, `stall-after`: nothing more
    comes. `slow` or `slow-200`: so many milliseconds (50) before each event, or before the whole answer.
    `malformed`: an event after some content is no JSON. `split-7`: written in pieces of 7 bytes.
    `no-usage`: no usage at all; `usage-every`: cumulative usage on each chunk of a chat; `usage-with-choices`: the
    last usage of a chat stands on a chunk with choices. `words-500`: an answer of 500 words of four bytes.
    `cached-10`: 10 of the input tokens were read from a cache. `think`: thinks first, where the family shows it.
    """

    status: int = 0
    retry_after: int | None = None
    cut: str = ""
    end: str = ""
    error: str = ""
    stall: str = ""
    milliseconds: int = 0
    words: int = 0
    cached: int = 0
    split: int = 0
    flags: frozenset[str] = frozenset()

    def has(self, flag: str) -> bool:
        return flag in self.flags


FLAGS = frozenset({"overflow", "error-200", "malformed", "no-usage", "usage-every", "usage-with-choices", "think"})


def faults(*names: str) -> Faults:
    """Those that stand in these names, each after a plus; a part that names none is part of the name."""
    parts = [part for name in names for part in name.split("+")]
    status, retry_after = 0, None
    numbers: dict[str, int] = {"slow": SLOW_MILLISECONDS} if "slow" in parts else {}
    places: dict[str, str] = {}
    for part in parts:
        if failure := FAILURE.fullmatch(part):
            status = int(failure[1])
            retry_after = int(failure[2]) if failure[2] else None
        elif number := NUMBER.fullmatch(part):
            numbers[number[1]] = int(number[2])
        else:
            kind, _, place = part.partition("-")
            if kind in {"cut", "end", "error", "stall"} and place in PLACES:
                places[kind] = place
    return Faults(
        status=status,
        retry_after=retry_after,
        cut=places.get("cut", ""),
        end=places.get("end", ""),
        error=places.get("error", ""),
        stall="before" if "stall" in parts else places.get("stall", ""),
        milliseconds=numbers.get("slow", 0),
        words=numbers.get("words", 0),
        cached=numbers.get("cached", 0),
        split=numbers.get("split", 0),
        flags=FLAGS.intersection(parts),
    )
