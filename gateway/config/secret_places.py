"""Where a configuration has secrets, by its models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, SecretStr

from gateway.config.models.base import hidden_keys, keys_of
from gateway.config.problems import Path

_HASHES = frozenset({"hash", "password", "config"})
"""Hidden keys whose values are no secrets by themselves: hashes, and what policies are configured with."""


def secret_places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The places of all values that are secrets."""
    if isinstance(value, SecretStr):
        yield path
    elif isinstance(value, BaseModel):
        for name, key, is_hidden in _fields(type(value)):
            if name in value.model_fields_set:
                yield from ((*path, key),) if is_hidden else secret_places(getattr(value, name), (*path, key))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from secret_places(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from secret_places(inner, (*path, index))


@cache
def _fields(model: type[BaseModel]) -> Sequence[tuple[str, str, bool]]:
    """The fields: name, key in the file, and whether the value is marked as hidden."""
    hidden, keys = hidden_keys(model) - _HASHES, {id(field): key for key, field in keys_of(model).items()}
    names = {name: keys[id(field)] for name, field in model.model_fields.items()}
    return [(name, key, key in hidden) for name, key in names.items()]
