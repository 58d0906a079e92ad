"""Who of those who are known may do what: the `authorize` of routes."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gateway.algorithms.conditions import ConditionError, compile_condition
from gateway.config.models.auth.consumers import Group, Name, Scope
from gateway.config.models.base import Model
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, SomeOf, Unset, refuse

NOT_TRANSLATED: Final = 'method == "NOT-YET-TRANSLATED"'
"""The condition of routes that `gateway import` and `gateway init` write, and of which they do not know who may call
them. Nothing meets it."""

_SHOWN = 70  # characters of a condition, on each side of what is wrong with it
_CONDITIONS = ("scopes", "groups", "tenants", "consumers", "when")


def _check_condition(text: str) -> str:
    try:
        compile_condition(text)
    except ConditionError as error:
        # The line that is wrong, and a caret below the character.
        start = text.rfind("\n", 0, error.offset) + 1
        line, column = text[start:].partition("\n")[0], error.offset - start
        cut = max(0, column - _SHOWN)
        shown = "".join(char if char.isprintable() else " " for char in line[cut : column + _SHOWN])
        hint = f": {error}\n    {shown}\n    {' ' * (column - cut)}^"
        context = {"message": f"the condition is wrong at character {error.offset + 1}", "hint": hint}
        raise PydanticCustomError("pointed", "{message}{hint}", context) from None
    return text


Condition = Annotated[str, Kind("condition"), AfterValidator(_check_condition)]
"""Text in the language of `gateway.algorithms.conditions`, which compiles."""


class Authorize(Model):
    """Requirements on a caller and a request. At least one of scopes, groups, tenants, consumers, when is needed.

    All that an entry says must hold, and every entry of the route that is for the method.
    """

    scopes: Unset[SomeOf[Scope]] = Field(None, description="Scopes of which the caller must have all.")
    groups: Unset[SomeOf[Group]] = Field(None, description="Groups of which the caller must be in one.")
    tenants: Unset[SomeOf[Name]] = Field(None, description="Tenants, to one of which the caller must belong.")
    consumers: Unset[SomeOf[Name]] = Field(None, description="Consumers, one of which the caller must be.")
    when: Unset[Condition] = Field(
        None,
        description="Condition that must hold, such as `claims.level >= 3 and time.hour < 20`; see Conditions.",
    )
    methods: Unset[SomeOf[addresses.Method]] = Field(
        None,
        description="Methods that the entry is for; others pass it by. GET is for HEAD, too. Unset: every method.",
    )
    mode: Literal["enforce", "shadow"] = Field(
        "enforce", description="`shadow`: log what would be refused, and let it pass."
    )

    @model_validator(mode="after")
    def _says_something(self) -> "Authorize":
        if all(getattr(self, name) is None for name in _CONDITIONS):
            raise refuse(f"the entry asks for nothing; at least one of {', '.join(_CONDITIONS)} is needed")
        return self
