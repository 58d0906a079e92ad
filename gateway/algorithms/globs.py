"""Patterns in which `*` stands for any text, and everything else for itself, whatever its case.

Not regular expressions: each piece of a pattern is looked for once, as far left as it can be, from where the one before
it ended. Nothing is ever tried again, so that no text, however it is made, takes longer than in proportion to its
length.
"""

from __future__ import annotations

MAX_LENGTH = 200  # characters of a pattern


class Glob:
    """A compiled pattern."""

    __slots__ = ("_head", "_least", "_middles", "_tail", "_whole", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        head, *rest = pattern.lower().split("*")
        self._whole = not rest
        self._head = head
        self._tail = rest[-1] if rest else ""
        self._middles = tuple(piece for piece in rest[:-1] if piece)
        self._least = len(head) + len(self._tail)

    def matches(self, lowered: str) -> bool:
        """Whether a text, which must be in lower case, fits as a whole."""
        if self._whole:
            return lowered == self._head
        if len(lowered) < self._least or not lowered.startswith(self._head) or not lowered.endswith(self._tail):
            return False
        position, end = len(self._head), len(lowered) - len(self._tail)
        for middle in self._middles:
            found = lowered.find(middle, position, end)
            if found < 0:
                return False
            position = found + len(middle)
        return True
