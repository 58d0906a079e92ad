"""Who has made what a request brings back, where that does not say so: signatures of thinking, and items of responses.
Of files, batches and conversations also who got them, for those that refer to them by the ids of the provider.

They pass as they came, byte for byte, so that this process has to remember who made them. Other replicas do not know.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final

from gateway.http import Exchange
from gateway.llm.affinity import Origin, owner_of
from gateway.llm.apis import GENERATE, MESSAGES, Api
from gateway.llm.usage import members

MOST: Final = 20_000  # that are remembered: about 4 MB
MOST_ASKED: Final = 100  # of one request that are looked up
_DIGEST_BYTES: Final = 16
_SIGNED: Final = re.compile(rb'"(?:signature|thoughtSignature|thought_signature)"\s*:\s*"([^"\\]{1,65536})"')
_REDACTED: Final = re.compile(
    rb'"redacted_thinking"\s*,\s*"data"\s*:\s*"([^"\\]{1,65536})"'
    rb'|"data"\s*:\s*"([^"\\]{1,65536})"\s*,\s*"type"\s*:\s*"redacted_thinking"'
)
_ITEM: Final = re.compile(rb'"(?:id|container_id|file_id)"\s*:\s*"([^"\\]{1,512})"')


class Origins:
    """What was made lately, and by whom. It outlives a reload."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Origin] = OrderedDict()  # the longest unused first

    def note(self, made: Iterable[bytes], origin: Origin, exchange: Exchange) -> None:
        """This caller got these from there."""
        for each in made:
            self._keep(_digest(each, exchange), origin)

    def note_issued(self, id: bytes, origin: Origin, exchange: Exchange) -> None:
        """This caller got this id from there, and no other one may use it."""
        self._keep(_digest(id, exchange), origin)
        self._keep(_digest(id, None), origin)

    def is_of_others(self, id: bytes, exchange: Exchange) -> bool:
        """Whether somebody got this id, and not this caller."""
        return _digest(id, None) in self._known and _digest(id, exchange) not in self._known

    def _keep(self, digest: bytes, origin: Origin) -> None:
        self._known[digest] = origin
        self._known.move_to_end(digest)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def _keep_from_others(self, id: bytes) -> None:
        """What is used is remembered as somebody's for as long as it is remembered as the caller's."""
        whose = _digest(id, None)
        if whose in self._known:
            self._known.move_to_end(whose)

    def of(self, brought: Iterable[bytes], exchange: Exchange) -> Origin | None:
        """Who has made the first of these that is known, for this caller; None where none is."""
        for number, each in enumerate(brought):
            digest = _digest(each, exchange)
            if digest in self._known:
                self._known.move_to_end(digest)
                self._keep_from_others(each)
                return self._known[digest]
            if number >= MOST_ASKED:
                break
        return None


def signatures(data: bytes) -> Iterator[bytes]:
    """The signatures of thinking in a request or an answer of Messages or Gemini, and thinking that is encrypted as a
    whole, the last one of each first."""
    signed = _SIGNED.findall(data) if b"ignature" in data else []
    redacted: list[tuple[bytes, bytes]] = _REDACTED.findall(data) if b'"redacted_thinking"' in data else []
    yield from reversed(signed)
    yield from (first or second for first, second in reversed(redacted))


def brings_thinking(data: bytes) -> bool:
    """Whether a request has thinking that somebody has signed."""
    return next(signatures(data), None) is not None


def items(data: bytes) -> Iterator[bytes]:
    """The ids in an answer, or an event, of Responses or Messages."""
    return (match[1] for match in _ITEM.finditer(data))


def made_in(api: Api, data: bytes) -> Iterator[bytes]:
    """What an answer has that only who made it takes back."""
    if api is GENERATE:
        return signatures(data)
    if api is not MESSAGES:
        return items(data)
    has_files = b'"file_id"' in data or b'"container' in data
    return chain(items(data), signatures(data)) if has_files else signatures(data)


def references(document: Any) -> list[str]:
    """The items that a request for a response refers to by their ids alone."""
    given = members(document).get("input")
    found = [members(item) for item in given] if isinstance(given, list) else []
    return [str(item.get("id")) for item in found if item.get("type") == "item_reference"]


def _digest(made: bytes, exchange: Exchange | None) -> bytes:
    """What is remembered of it. Without an exchange: of whomever."""
    key = b"" if exchange is None else hashlib.sha256(owner_of(exchange)).digest()
    return hashlib.blake2b(made, key=key, digest_size=_DIGEST_BYTES).digest()
