"""Structured field values (RFC 9651): dictionaries of items and inner lists, with parameters. Parsing and writing.

Parsed as strictly as the RFC has it: what is signed and checked must not be read more generously than others read it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


class Token(str):
    """A bare word, which is not the same as a string in quotes."""

    __slots__ = ()


Bare = bool | int | Decimal | str | Token | bytes
"""A value without parameters. (Dates and display strings are refused: nothing here uses them.)"""

Parameters = Mapping[str, Bare]


@dataclass(frozen=True, slots=True)
class Item:
    """A value with parameters."""

    value: Bare
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InnerList:
    """Several items in parentheses, with parameters of the whole."""

    items: tuple[Item, ...]
    parameters: Parameters = field(default_factory=dict)


Member = Item | InnerList

MAX_LENGTH = 16 * 1024  # characters of a field
MAX_MEMBERS = 256  # of a dictionary, a list, or parameters

_KEY = re.compile(r"[a-z*][a-z0-9_\-.*]*", re.ASCII)
_NUMBER = re.compile(r"-?([0-9]{1,12}\.[0-9]{1,3}(?![0-9.])|[0-9]{1,15}(?![0-9.]))", re.ASCII)
_STRING = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*", re.ASCII)
_BINARY = re.compile(r":([A-Za-z0-9+/]*={0,2}):")


class StructureError(ValueError):
    """The field is not what RFC 9651 says."""


def parse_dictionary(text: str) -> dict[str, Member]:
    """A dictionary (RFC 9651, 4.2.2); of a duplicated key, the last. Raises StructureError."""
    if len(text) > MAX_LENGTH:
        raise StructureError(f"it is longer than {MAX_LENGTH} characters")
    return _Parser(text).dictionary()


def serialise(member: Member) -> str:
    """A member as RFC 9651, 4.1 writes it."""
    if isinstance(member, Item):
        return _bare(member.value) + parameters_text(member.parameters)
    return f"({' '.join(serialise(item) for item in member.items)}){parameters_text(member.parameters)}"


def serialise_member(name: str, member: Member) -> str:
    """The same with its key, as it stands in a dictionary."""
    if isinstance(member, Item) and member.value is True:
        return name + parameters_text(member.parameters)
    return f"{name}={serialise(member)}"


def parameters_text(parameters: Parameters) -> str:
    """`;a=1;b`"""
    return "".join(f";{name}" if value is True else f";{name}={_bare(value)}" for name, value in parameters.items())


def _bare(value: Bare) -> str:
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, bytes):
        return f":{base64.b64encode(value).decode()}:"
    if isinstance(value, Token | int):
        return str(value)
    if isinstance(value, Decimal):
        text = f"{value:.3f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text.strip(" ")
        self._at = 0

    def dictionary(self) -> dict[str, Member]:
        members: dict[str, Member] = {}
        while self._at < len(self._text):
            name = self._key()
            members[name] = self._member() if self._skip("=") else Item(True, self._parameters())
            self._few(len(members))
            self._white(" \t")
            if self._at == len(self._text):
                break
            if not self._skip(","):
                raise self._wrong()
            self._white(" \t")
            if self._at == len(self._text):
                raise StructureError("it ends with a comma")
        return members

    def _member(self) -> Member:
        if not self._skip("("):
            return self._item()
        items: list[Item] = []
        while True:
            self._white(" ")
            if self._skip(")"):
                return InnerList(tuple(items), self._parameters())
            items.append(self._item())
            self._few(len(items))
            if self._text[self._at : self._at + 1] not in (" ", ")"):
                raise self._wrong()

    def _item(self) -> Item:
        return Item(self._value(), self._parameters())

    def _parameters(self) -> Parameters:
        parameters: dict[str, Bare] = {}
        while self._skip(";"):
            self._white(" ")
            name = self._key()
            parameters[name] = self._value() if self._skip("=") else True
            self._few(len(parameters))
        return parameters

    def _value(self) -> Bare:
        char = self._text[self._at : self._at + 1]
        if char == '"':
            return re.sub(r"\\(.)", r"\1", self._match(_STRING)[1])
        if char == ":":
            try:
                return base64.b64decode(self._match(_BINARY)[1], validate=True)
            except binascii.Error:
                raise StructureError("a byte sequence is not base64") from None
        if char == "?":
            found = self._text[self._at : self._at + 2]
            if found not in ("?0", "?1"):
                raise self._wrong()
            self._at += 2
            return found == "?1"
        if char == "-" or char.isdigit():
            number = self._match(_NUMBER)[0]
            return Decimal(number) if "." in number else int(number)
        return Token(self._match(_TOKEN)[0])

    def _key(self) -> str:
        return self._match(_KEY)[0]

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise self._wrong()
        self._at = match.end()
        return match

    def _skip(self, char: str) -> bool:
        found = self._text.startswith(char, self._at)
        self._at += found
        return found

    def _white(self, chars: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in chars:
            self._at += 1

    def _few(self, number: int) -> None:
        if number > MAX_MEMBERS:
            raise StructureError(f"it has more than {MAX_MEMBERS} members")

    def _wrong(self) -> StructureError:
        return StructureError(f"it cannot be read from character {self._at + 1} on")
