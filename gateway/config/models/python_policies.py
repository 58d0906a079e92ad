"""middleware.yaml: custom policies, in Python."""

import re
from typing import Annotated, Any

from pydantic import Field, field_serializer

from gateway.config.models.base import Hidden
from gateway.config.models.policy import Policy
from gateway.config.values.kinds import Kind, Text, accepted_by, refuse

_CLASS = re.compile(
    r"(?P<file>[^:]+\.py):(?P<name>[^\W\d]\w*)|(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<attribute>[^\W\d]\w*)"
)


def split_class(text: str) -> tuple[str, str, str]:
    """File or "", module or "", and the name of the class."""
    match = _CLASS.fullmatch(text)
    if match is None:
        raise refuse("a class is written file.py:Class, or package.module:Class")
    return match["file"] or "", match["module"] or "", match["name"] or match["attribute"]


ClassName = Annotated[Text, Kind("class", r"^[^:]+:[^:]+$"), accepted_by(split_class)]


class PythonPolicy(Policy):
    """A custom policy: a Python class. See docs/writing-middleware.md."""

    class_: ClassName = Field(
        alias="class",
        description="`file.py:Class`, relative to the configuration directory and read again when it changes, or "
        "`package.module:Class` of an installed package.",
        examples=["policies/hours.py:OfficeHours"],
    )
    config: Annotated[dict[str, Any], Kind("keys of the class"), Hidden()] = Field(
        {}, description="The settings for the class's `Config`."
    )

    @field_serializer("config", when_used="json")
    def _hidden(self, config: dict[str, Any]) -> dict[str, str]:
        """Only the class knows what of it is secret."""
        return dict.fromkeys(config, "**********")
