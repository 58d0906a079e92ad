"""Reading requests field by field: each field is either translated, known to be harmless, or refused by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeGuard

from gateway.llm.translate.translation import Malformed, Unsupported

NO_SUCH_TOOL = "the tool is not among those that can be sent"
MOST_OBJECTS = 50_000
_MOST_DROPPED = 64
_MOST_NAME = 80
_POSITION = re.compile(r"\[\d+\]")
_MOST_REASON = 160
_UNPRINTABLE_TEXT = re.compile(r"[^\x20-\x7e]")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


class Notes:
    """The treatment of fields that are not translated: refused, or left out and listed."""

    __slots__ = ("_dropped", "_read", "drop")

    def __init__(self, *, drop: bool) -> None:
        self.drop = drop
        self._read = 0
        self._dropped: dict[str, None] = {}

    def count(self) -> None:
        """One more object is read. The loop of the process waits meanwhile, so that there is an end to it."""
        self._read += 1
        if self._read > MOST_OBJECTS:
            raise Malformed(
                "", f"The request has more than {MOST_OBJECTS} messages and parts, which are not translated."
            )

    def harmless(self, place: str) -> None:
        """Leave out a field that does not change what is answered, or only how fast or at what price."""
        if len(self._dropped) < _MOST_DROPPED:
            self._dropped[shown(_POSITION.sub("[]", place))] = None

    def unsupported(self, place: str, why: str = "") -> None:
        """Refuse a field, or leave it out where that was asked for."""
        if not self.drop:
            self.refuse(place, why)
        self.harmless(place)

    def refuse(self, place: str, why: str = "") -> None:
        """Refuse a field that must not be left out, as another question would be answered without it."""
        reason = f": {_UNPRINTABLE_TEXT.sub('?', why[:_MOST_REASON])}" if why else ""
        raise Unsupported(
            shown(place),
            f"The field {shown(place)} has no equivalent in the API of the provider that serves this model{reason}.",
        )

    def dropped(self) -> tuple[str, ...]:
        """The fields that were left out, in the order of the request."""
        return tuple(self._dropped)


def shown(place: str) -> str:
    """The name of a field as it may stand in headers and messages: printable, and of a bounded length."""
    name = _UNPRINTABLE.sub("?", place[: _MOST_NAME + 1])
    return name if len(name) <= _MOST_NAME else f"{name[:_MOST_NAME]}..."


class Fields:
    """One object of a request. `end` refuses what nothing has asked for; a null is as good as no field."""

    __slots__ = ("_left", "_values", "notes", "place")

    def __init__(self, value: object, place: str, notes: Notes) -> None:
        if not isinstance(value, dict):
            raise malformed(place, "an object")
        notes.count()
        self._values: dict[str, Any] = value
        self._left = {name for name, one in value.items() if one is not None}
        self.place = place
        self.notes = notes

    def at(self, name: str) -> str:
        """Where a field stands in the request."""
        return f"{self.place}.{name}" if self.place else name

    def raw(self, name: str) -> Any:
        """A field of any type; None if absent."""
        self._left.discard(name)
        return self._values.get(name)

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._values.get(name) is not None

    def text(self, name: str) -> str | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, str):
            raise malformed(self.at(name), "text")
        return value

    def needed_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise malformed(self.at(name), "text")
        return value

    def number(self, name: str) -> float | None:
        value = self.raw(name)
        if value is not None and not is_number(value):
            raise malformed(self.at(name), "a number")
        return value

    def integer(self, name: str) -> int | None:
        value = self.raw(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise malformed(self.at(name), "an integer")
        return value

    def truth(self, name: str) -> bool | None:
        value = self.raw(name)
        if value is not None and not isinstance(value, bool):
            raise malformed(self.at(name), "true or false")
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        """An object that is passed on as it is."""
        value = self.raw(name)
        if value is not None and not isinstance(value, dict):
            raise malformed(self.at(name), "an object")
        return value

    def array(self, name: str) -> list[Any]:
        """A list that is passed on as it is; empty if absent."""
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise malformed(self.at(name), "a list")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        values = self.array(name)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise malformed(f"{self.at(name)}[{index}]", "text")
        return values

    def object(self, name: str) -> Fields | None:
        """An object that is read field by field."""
        value = self.raw(name)
        return None if value is None else Fields(value, self.at(name), self.notes)

    def objects(self, name: str) -> Iterator[Fields]:
        """The objects of a list, each read field by field."""
        for index, value in enumerate(self.array(name)):
            yield Fields(value, f"{self.at(name)}[{index}]", self.notes)

    def ignored(self, *names: str) -> None:
        """Fields that say nothing that the other API would have to know: not even listed."""
        self._left.difference_update(names)

    def default(self, name: str, *values: Any) -> None:
        """A field that says nothing where it has one of these values."""
        value = self._values.get(name)
        if any(value == one and type(value) is type(one) for one in values):
            self._left.discard(name)

    def harmless(self, *names: str) -> None:
        """Fields that are left out and listed."""
        for name in names:
            if name in self._left:
                self._left.discard(name)
                self.notes.harmless(self.at(name))

    def unsupported(self, *names: str, why: str = "") -> None:
        """Fields without an equivalent, where they are there."""
        for name in names:
            if name in self._left:
                self._left.discard(name)
                self.notes.unsupported(self.at(name), why)

    def refused(self, *names: str, why: str = "") -> None:
        """Fields that must not be left out, where they are there."""
        for name in names:
            if name in self._left:
                self.notes.refuse(self.at(name), why)

    def end(self) -> None:
        """Refuse, or list, all that is left."""
        for name in self._values:
            if name in self._left:
                self.notes.unsupported(self.at(name))


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value of JSON is a number: true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def malformed(place: str, expected: str) -> Malformed:
    """An error for a field of the wrong type."""
    name = shown(place) or "The request"
    return Malformed(shown(place), f"{name} must be {expected}.")
