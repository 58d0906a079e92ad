"""models.yaml: policies on what is said to models and by them."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_serializer

from gateway.config.models.base import Hidden, Model
from gateway.config.models.python_policies import ClassName
from gateway.config.values.kinds import Kind, SomeOf, as_list

Stage = Literal["input", "output", "stream"]


class Guardrail(Model):
    """A Python class that looks at texts and calls of tools, and lets them pass, changes or refuses them."""

    policy: ClassName = Field(
        description="`file.py:Class`, relative to the configuration directory and read again when it changes, or "
        "`package.module:Class` of an installed package.",
        examples=["mypolicies:NoCards"],
    )
    on: Annotated[
        SomeOf[Stage],
        Kind("`input`, `output` or `stream`, or list of them"),
        BeforeValidator(as_list, json_schema_input_type=Stage | SomeOf[Stage]),
    ] = Field(
        ("input", "output", "stream"),
        description="`input`: prompts; `output`: whole answers; `stream`: streamed ones, while they are received.",
    )
    mode: Literal["enforce", "shadow"] = Field(
        "enforce", description="`shadow`: count and log its decisions without applying them."
    )
    on_failure: Literal["refuse", "pass"] = Field(
        "refuse", description="The handling of a request if the class itself fails."
    )
    config: Annotated[dict[str, Any], Kind("keys of the class"), Hidden()] = Field(
        {}, description="The settings for the class's `Config`."
    )

    @field_serializer("config", when_used="json")
    def _hidden(self, config: dict[str, Any]) -> dict[str, str]:
        """Only the class knows what of it is secret."""
        return dict.fromkeys(config, "**********")
