"""Predicates of headers, cookies and query parameters."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gateway.config.models.base import Late, Model
from gateway.config.values.addresses import HeaderName
from gateway.config.values.kinds import Kind, Text, Unset, refuse, shorthand
from gateway.config.values.paths import check_regex


class Predicate(Model):
    """A predicate of a header or query parameter. Exactly one of the three; a bare text is the same as `exact`."""

    exact: Unset[Text] = Field(None, description="The value, character by character.")
    present: Unset[bool] = Field(None, description="true: it is there, whatever its value; false: it is not there.")
    regex: Unset[Text] = Field(
        None, description="A regular expression for the whole value, as those of `matches`; see Conditions."
    )

    _compiles = field_validator("regex")(check_regex)

    @model_validator(mode="after")
    def _is_one(self) -> "Predicate":
        if sum(value is not None for value in (self.exact, self.present, self.regex)) != 1:
            raise refuse("exactly one of exact, present and regex is needed")
        return self


ValuePredicate = Annotated[
    Late[Predicate],
    Kind("text, or keys below"),
    BeforeValidator(shorthand("exact"), json_schema_input_type=str | Late[Predicate]),
]


def _names_differ(value: Any) -> Any:
    if isinstance(value, dict) and len({str(name).lower() for name in value}) < len(value):
        raise refuse("a header is duplicated; upper and lower case are the same name, remove one")
    return value


HeaderPredicates = Annotated[
    dict[HeaderName, ValuePredicate],
    BeforeValidator(_names_differ, json_schema_input_type=dict[HeaderName, ValuePredicate]),
]
"""Predicates by name, in lower case."""
