"""Who has made what a request brings back, where that does not say so: signatures of thinking, and items of responses.

They pass as they came, byte for byte, so that this process has to remember who made them. Other replicas do not know.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from gateway.http import Exchange
from gateway.llm.affinity import Origin, owner_of
from gateway.llm.usage import members

MOST: Final = 20_000  # that are remembered: about 4 MB
MOST_ASKED: Final = 100  # of one request that are looked up
_DIGEST_BYTES: Final = 16
_SIGNED: Final = re.compile(rb'"signature"\s*:\s*"([^"\\]{1,65536})"')
_ITEM: Final = re.compile(rb'"id"\s*:\s*"([^"\\]{1,512})"')


class Origins:
    """What was made lately, and by whom. It outlives a reload."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Origin] = OrderedDict()  # the longest unused first

    def note(self, made: Iterable[bytes], origin: Origin, exchange: Exchange) -> None:
        """This caller got these from there."""
        for each in made:
            digest = _digest(each, exchange)
            self._known[digest] = origin
            self._known.move_to_end(digest)
            if len(self._known) > self._most:
                self._known.popitem(last=False)

    def of(self, brought: Iterable[bytes], exchange: Exchange) -> Origin | None:
        """Who has made the first of these that is known, for this caller; None where none is."""
        for number, each in enumerate(brought):
            digest = _digest(each, exchange)
            if digest in self._known:
                self._known.move_to_end(digest)
                return self._known[digest]
            if number >= MOST_ASKED:
                break
        return None


def signatures(data: bytes) -> Iterator[bytes]:
    """The signatures of thinking in a request or an answer of Messages, the last one first."""
    return reversed(_SIGNED.findall(data)) if b'"signature"' in data else iter(())


def items(data: bytes) -> Iterator[bytes]:
    """The ids in an answer, or an event, of Responses."""
    return (match[1] for match in _ITEM.finditer(data))


def references(document: Any) -> list[str]:
    """The items that a request for a response refers to by their ids alone."""
    given = members(document).get("input")
    found = [members(item) for item in given] if isinstance(given, list) else []
    return [str(item.get("id")) for item in found if item.get("type") == "item_reference"]


def _digest(made: bytes, exchange: Exchange) -> bytes:
    key = hashlib.sha256(owner_of(exchange)).digest()
    return hashlib.blake2b(made, key=key, digest_size=_DIGEST_BYTES).digest()
