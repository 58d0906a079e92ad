"""Lists and mappings are validated entry by entry, no further than to where the errors become too many.

A few aliases in YAML make a file of some KiB one with millions of values. If all of them were wrong, pydantic would
make an error for each, which takes minutes and gigabytes, before anything could be said.
"""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_wrap_validator_function

from gateway.config.problems import MOST_FOUND

_AT_ONCE: Final = 1000  # entries without entries of their own


def in_pieces(model: type[BaseModel], schema: CoreSchema) -> CoreSchema:
    """The schema of a model, whose lists and mappings are validated so. Those of models below it are left as they are:
    they have their own."""
    return cast(CoreSchema, _in_pieces(model, schema))


def _in_pieces(model: type[BaseModel], part: Any) -> Any:
    if isinstance(part, list):
        return [_in_pieces(model, each) for each in part]
    if not isinstance(part, dict) or part.get("cls", model) is not model:
        return part
    inner = {key: value if key == "metadata" else _in_pieces(model, value) for key, value in part.items()}
    bounded = "min_length" in inner or "max_length" in inner  # which is of the whole
    if (inner.get("type") == "dict" or "variadic_item_index" in inner) and not bounded:
        return no_info_wrap_validator_function(_validated, cast(CoreSchema, inner))
    return inner


def _validated(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    is_list = isinstance(value, list)
    if not (is_list or isinstance(value, dict)) or len(value) <= 1:
        return validate(value)
    size = 1 if any(isinstance(entry, dict | list) for entry in (value if is_list else value.values())) else _AT_ONCE
    if len(value) <= size:
        return validate(value)
    entries = value if is_list else list(value.items())
    kind: type[list[Any]] | type[dict[Any, Any]] = list if is_list else dict
    whole = []
    errors = end = 0
    while end < len(value) and errors <= MOST_FOUND:
        start, end = end, end + size
        try:
            right = validate(kind(entries[start:end]))
        except ValidationError as error:
            errors += error.error_count()
        else:
            whole += right if is_list else right.items()
    if errors:
        return validate(kind(entries[:end]))  # in which errors have their places
    return tuple(whole) if is_list else dict(whole)
