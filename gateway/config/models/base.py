"""The common base of all models of the files."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_plain_validator_function

from gateway.config.models.pieces import in_pieces

T = TypeVar("T")


class Model(BaseModel):
    """Frozen, without unknown keys and without conversions: a text that looks like a number is still a text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, defer_build=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        return in_pieces(cls, handler(source))

    @classmethod
    def unset(cls) -> Self:
        """All defaults, of a group that a file does not have. For the declaration of keys: a validator would be built
        for each group while it is imported, which takes a tenth of the start, and has nothing to find."""
        return cast(Self, cls.model_construct())


class Section(Model):
    """A group of keys that may be left empty, as when all of them are commented out."""

    model_config = ConfigDict(json_schema_extra={"type": ["object", "null"]})

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any) -> Any:
        return {} if value is None else value


@dataclass(frozen=True, slots=True)
class Checking:
    """Checks a value against a model, whose validator is built for the first one."""

    model: type[BaseModel]

    def __call__(self, value: Any) -> BaseModel:
        """The model of it. Raises ValidationError."""
        return self.model.model_validate(value)


class _WhenGiven:
    def __get_pydantic_core_schema__(self, model: type[BaseModel], _: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_plain_validator_function(Checking(model))


Late = Annotated[T, _WhenGiven()]
"""A model below another one, whose validator is built when a file has something for it: files have few of the keys
that there are, and to build the validators of all takes a tenth of the start. Errors in it are the same as without
this."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Marks a key whose value is never shown, as the last part of its `Annotated` type. SecretStr needs no mark."""


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by their names in a file: `class` is no name in Python."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


@cache
def hidden_keys(model: type[BaseModel]) -> frozenset[str]:
    """The keys of a model that are marked as Hidden."""
    return frozenset(key for key, field in keys_of(model).items() if any(isinstance(m, Hidden) for m in field.metadata))
