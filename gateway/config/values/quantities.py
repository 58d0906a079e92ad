"""The kinds of value that several keys share: durations, sizes, text, and how a value is refused."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler
from pydantic.types import Strict
from pydantic_core import CoreSchema, PydanticCustomError

T = TypeVar("T")

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"
SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)?(B|KB|MB|GB|KiB|MiB|GiB)$"

_SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_BYTES: Mapping[str, int] = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_LONGEST = 366 * 24 * 3600  # event loops overflow on timers of centuries
_LARGEST = 2**53
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]+)", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a type is called in the documentation, and a regular expression for editors; carried in `Annotated`."""

    name: str
    pattern: str = ""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        return {**schema, "pattern": self.pattern} if self.pattern else schema


def refuse(message: str, hint: str = "") -> PydanticCustomError:
    """The error a validator raises.

    `message` says what is expected and must not repeat the value, which may be a secret. `hint` may repeat it: it is
    left out when the value came from the environment or from another file.
    """
    return PydanticCustomError("refused", "{message}{hint}", {"message": message, "hint": hint})


def parse_duration(value: object) -> float:
    """Seconds, of `"5s"`, `"250ms"`, `"1m"`, `"1h"` or a bare number of seconds."""
    seconds = _quantity(value, _SECONDS)
    if seconds is None:
        raise refuse("expected a duration such as 250ms, 5s, 1m or 1h, or a number of seconds")
    if not 0 <= seconds <= _LONGEST:
        raise refuse("a duration is at most 8784h (366 days), and not negative")
    return seconds


def parse_size(value: object) -> int:
    """Bytes, of `"10MiB"`, `"1MB"`, `"512KiB"` or a bare number of bytes."""
    size = _quantity(value, _BYTES)
    if size is None or size % 1 != 0:  # infinity % 1 is not 0 either
        raise refuse("expected a size such as 512KiB, 10MiB or 1GB, or a whole number of bytes")
    if not 1 <= size <= _LARGEST:
        raise refuse("a size is at least 1 byte, and at most 8388608GiB")
    return int(size)


def _quantity(value: object, units: Mapping[str, float]) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    if match is None or match[2] not in units:
        return None
    # Rounding to whole milliseconds or bytes hides that 0.1 is not a binary fraction.
    return round(float(match[1]) * units[match[2]], 3)


def _positive(seconds: float) -> float:
    if seconds == 0:
        raise refuse("a duration must be more than 0 here")
    return seconds


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise refuse("control characters such as line ends, tabs and NUL are not allowed here; remove them")
    return text


def _given(value: object) -> object:
    if value is None:
        raise refuse("a value is needed here; write one, or remove the key")
    return value


_DurationInput = Annotated[str, Field(pattern=DURATION_PATTERN)] | Annotated[float, Field(ge=0, le=_LONGEST)]
_SizeInput = Annotated[str, Field(pattern=SIZE_PATTERN)] | Annotated[int, Field(ge=1, le=_LARGEST)]

DurationOrZero = Annotated[
    float, Kind("duration, or 0"), BeforeValidator(parse_duration, json_schema_input_type=_DurationInput)
]
"""Seconds, 0 allowed."""

Duration = Annotated[
    float,
    Kind("duration"),
    AfterValidator(_positive),
    BeforeValidator(parse_duration, json_schema_input_type=_DurationInput),
]
"""Seconds, more than 0."""

Size = Annotated[int, Kind("size"), BeforeValidator(parse_size, json_schema_input_type=_SizeInput)]
"""Bytes, at least 1."""

Text = Annotated[str, Kind("text"), AfterValidator(_one_line)]
"""Text that may end up in a header, a path or a log line: no control characters."""

Unset = Annotated[T | None, BeforeValidator(_given)]
"""A value that is None when its key is absent. A key that is present must have a value: a template that rendered
`host:` to nothing must not open the route to every host."""


def _not_empty(value: object) -> object:
    if value == []:
        raise refuse("the list is empty; it needs at least one entry")
    return value


Several = Annotated[tuple[T, ...], Strict(False)]
"""A list in the file; a tuple here, because a Snapshot keeps it."""

SomeOf = Annotated[tuple[T, ...], Strict(False), Field(json_schema_extra={"minItems": 1}), BeforeValidator(_not_empty)]
"""The same, with at least one entry. (pydantic's own `min_length` counts only the entries that are right.)"""


def as_list(value: Any) -> Any:
    """A single text where a list is meant, as a list of one."""
    return [value] if isinstance(value, str) else value


def or_empty(empty: Any) -> Callable[[Any], Any]:
    """A validator that reads a group without anything in it, as when all of it is commented out, as `empty`."""
    return lambda value: empty if value is None else value


def shorthand(key: str) -> Callable[[Any], Any]:
    """A validator that reads a single value as a mapping with only this key."""

    def expand(value: Any) -> Any:
        return {key: value} if value is None or isinstance(value, str | int | float) else value

    return expand
