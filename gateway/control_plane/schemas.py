"""Common parts of requests and answers: camelCase keys, times in UTC, texts that any database and client accepts."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

MOST_DOCUMENT: Final = 64 * 1024  # bytes of a value that is kept as it is, about
DEEPEST: Final = 16
NAME_PATTERN: Final = "^[a-z0-9-]{1,64}$"
_MOST_INTEGER: Final = 2**53  # beyond it, JSON in other languages loses digits


class Body(BaseModel):
    """A request. What it does not know is ignored, so that newer clients can talk to older control planes."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False, hide_input_in_errors=True, frozen=True)


class Answer(BaseModel):
    """An answer."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )


def on_the_wire(moment: datetime) -> str:
    """`2026-11-26T12:00:00Z`"""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


Moment = Annotated[
    datetime,
    PlainSerializer(on_the_wire, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def clean(text: str) -> str:
    """Raises ValueError where a database or a client could not take it."""
    if "\0" in text:
        raise ValueError("NUL characters are not allowed")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("halves of surrogate pairs are not allowed")
    return text


def _name_of_people(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a text that is not empty")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("control characters are not allowed")
    return clean(text)


def plain_document(value: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError where it is no document that every database keeps as it is: too deep, too large, no JSON."""
    if _weigh(value, 0) > MOST_DOCUMENT:
        raise ValueError(f"it is larger than {MOST_DOCUMENT // 1024} KiB")
    return value


def _weigh(value: Any, depth: int) -> int:
    if depth > DEEPEST:
        raise ValueError(f"it is deeper than {DEEPEST} levels")
    if isinstance(value, str):
        return len(clean(value).encode()) + 2
    if isinstance(value, dict):
        return 2 + sum(_weigh(key, depth) + _weigh(item, depth + 1) + 2 for key, item in value.items())
    if isinstance(value, list):
        return 2 + sum(_weigh(item, depth + 1) + 1 for item in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and Infinity are no JSON")
    if isinstance(value, int) and abs(value) > _MOST_INTEGER:
        raise ValueError(f"a whole number is at most {_MOST_INTEGER}")
    return 24


Name = Annotated[
    str,
    Field(strict=True, pattern=NAME_PATTERN, description="Small letters, digits and hyphens.", examples=["production"]),
    AfterValidator(clean),
]
DisplayName = Annotated[
    str,
    Field(
        strict=True,
        min_length=1,
        max_length=128,
        description="For people, on one line.",
        examples=["Production"],
        json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"},
    ),
    AfterValidator(_name_of_people),
]
Description = Annotated[
    str,
    Field(strict=True, max_length=4096, description="For people.", json_schema_extra={"pattern": r"^[^\x00]*$"}),
    AfterValidator(clean),
]
Document = Annotated[dict[str, Any], AfterValidator(plain_document)]
