"""The lines of the audit log: each holds its number, the hash of the line before it, and at its end a hash of itself.

The hash is SHA-256 over the line's bytes up to it, which include the hash before; with a key, HMAC-SHA-256. It is made
and checked over bytes as they are in the file, so there is no other way to write the same record.

What a person who can write the files can do: without a key, make up a whole log, with a head that fits; any smaller
change is found. With a key that they do not know: put an older state of all files back, or remove all of them. An
anchor that is kept elsewhere helps against both: the gateway's own log names number and hash when it starts and ends
and once an hour, and `gateway audit verify --expect` takes them. With the key, any change can be hidden.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

GENESIS = "0" * 64  # stands before the first line
HEAD_BYTES = 512  # one sector, so that a head is written as a whole or not at all

_SEALED: Final = rb'(\{.*),"hash":"([0-9a-f]{64})"\}'


@dataclass(frozen=True, slots=True)
class Link:
    """The end of the chain so far: the number of its last line, and that line's hash."""

    number: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        """The form for `--expect`."""
        return f"{self.number}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read. `intact`: its own hash is right."""

    number: int
    previous: str
    hash: str
    event: str | None
    record: dict[str, Any]
    intact: bool

    @property
    def link(self) -> Link:
        """The expected predecessor of the next line."""
        return Link(self.number, self.hash)


class Sealer:
    """Makes and checks hashes; None: without a key."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    def _hash(self, data: bytes) -> str:
        if self._key is None:
            return hashlib.sha256(data).hexdigest()
        return hmac.digest(self._key, data, "sha256").hex()

    def seal(self, record: dict[str, Any], after: Link) -> tuple[bytes, Link]:
        """The line of a record that follows `after`, with its newline, and the link that it is."""
        number = after.number + 1
        data = _dump({"seq": number, **record, "previous": after.hash})[:-1]
        link = Link(number, self._hash(data))
        return data + b',"hash":"' + link.hash.encode() + b'"}\n', link

    def read(self, line: bytes) -> Line | None:
        """A line without its newline; None where it is not the whole of a line of an audit log."""
        match = re.fullmatch(_SEALED, line, re.DOTALL)
        if match is None:
            return None
        record = _load(line)
        number, previous = record.get("seq"), record.get("previous")
        if not isinstance(number, int) or not isinstance(previous, str):
            return None
        intact = hmac.compare_digest(self._hash(match[1]), match[2].decode())
        return Line(number, previous, match[2].decode(), record.get("event"), record, intact)

    def seal_head(self, link: Link) -> bytes:
        """The content of the file that says where the log ends."""
        line, _ = self.seal({"event": "head", "hash_of_last": link.hash}, Link(link.number - 1))
        return line.rstrip().ljust(HEAD_BYTES - 1) + b"\n"

    def read_head(self, data: bytes) -> Link | None:
        """Where the log ends; None where that is no head, or one that is not intact."""
        line = self.read(data.strip())
        if line is None or not line.intact or line.event != "head":
            return None
        return Link(line.number, str(line.record.get("hash_of_last")))


def _dump(record: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(record)
    except TypeError:  # text that is no Unicode, such as a lone surrogate
        return json.dumps(record, default=repr, separators=(",", ":")).encode()


def _load(line: bytes) -> dict[str, Any]:
    """A JSON object; an empty one where it is none."""
    try:
        record = json.loads(line)  # orjson refuses lone surrogates
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
