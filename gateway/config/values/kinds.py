"""Common parts of all kinds of values: names for the documentation, texts, lists, and errors."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.types import Strict
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

T = TypeVar("T")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Kind:
    """The name of a type in the documentation, and a regular expression for editors; carried in `Annotated`."""

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


@dataclass(frozen=True, slots=True)
class TextLike(Kind):
    r"""A text that must match the regular expression `pattern` as a whole; `expected` is the error where it does not.

    `\w` and `\d` are ASCII. Editors get the same pattern, so it has only what JavaScript understands, too.
    """

    expected: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "pattern": f"^(?:{self.pattern})$"}

    def _check(self, text: str) -> str:
        if re.fullmatch(self.pattern, text, re.ASCII) is None:
            raise refuse(self.expected)
        return text


def accepted_by(parse: Callable[[str], object]) -> AfterValidator:
    """A text that `parse` takes without an error, and that is kept as it is written."""

    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise refuse("control characters such as line ends, tabs and NUL are not allowed here; remove them")
    return text


Text = Annotated[str, Kind("text"), AfterValidator(_one_line)]
"""Text that may end up in a header, a path or a log line: no control characters."""


def _given(value: object) -> object:
    if value is None:
        raise refuse("a value is needed here; write one, or remove the key")
    return value


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
