"""What keys have used that are no longer kept each by itself: never less than it was, in bounded memory.

A Bloom filter whose cells are amounts: each key has four cells, by a keyed hash, and each cell has the most that any of
its keys has used. The least of the four is what the key has used, or more, where others have used more in all of them.
Who wants to use up what others have must use up as much for as many keys as there are cells, about.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

CELLS: Final = 2**22  # 32 MB: with 100,000 keys, others fill all four cells of one key in 14,000; with a million, in 7
_OF_A_KEY: Final = 4


class Forgotten:
    """The amounts of one window."""

    def __init__(self, cells: int = CELLS) -> None:
        self._cells = array("Q", [0]) * cells
        self._secret = secrets.token_bytes(16)  # nobody can look for keys that share cells

    def note(self, key: str, used: int) -> None:
        """A key has used so much."""
        for place in self._places(key):
            self._cells[place] = max(self._cells[place], used)

    def used(self, key: str) -> int:
        """The amount that was noted of a key, or more."""
        return min(self._cells[place] for place in self._places(key))

    def _places(self, key: str) -> Iterator[int]:
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8 * _OF_A_KEY, key=self._secret).digest()
        for at in range(0, len(digest), 8):
            yield int.from_bytes(digest[at : at + 8], "little") % len(self._cells)
