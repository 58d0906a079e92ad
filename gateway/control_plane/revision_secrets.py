"""Finds secrets that are written in a bundle as plain text: every viewer can read a revision."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, SecretStr

from gateway.config.models import Configuration
from gateway.config.models.base import hidden_keys, keys_of
from gateway.config.problems import Path, Problem
from gateway.config.yaml.document import Scalar

_NAMED = re.compile(r"\$\{([^}]*)\}")
_HASHES = frozenset({"hash", "password", "config"})
"""Hidden keys whose values are no secrets by themselves: hashes, and what policies are configured with."""

MESSAGE = (
    "a secret is in plain text, and every reader of the revision would know it; "
    "write ${NAME} or ${file:path}, which each gateway has itself"
)


def plain_secrets(configuration: Configuration) -> Iterator[Problem]:
    """One error for each, with its place and without the secret."""
    for file, model in (
        ("routes.yaml", configuration.routes),
        ("middleware.yaml", configuration.middleware),
        ("auth.yaml", configuration.auth),
        ("models.yaml", configuration.models),
    ):
        for path in _paths(model, ()):
            place = configuration.documents[file].find(path)
            if isinstance(place.node, Scalar) and _is_plain(path, place.node.text):
                yield configuration.problem(file, path, MESSAGE)


def _paths(value: Any, path: Path) -> Iterator[Path]:
    """The places of all values that are secrets by their model."""
    if isinstance(value, SecretStr):
        yield path
    elif isinstance(value, BaseModel):
        for name, key, is_hidden in _fields(type(value)):
            if name in value.model_fields_set:
                yield from ((*path, key),) if is_hidden else _paths(getattr(value, name), (*path, key))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))


@cache
def _fields(model: type[BaseModel]) -> Sequence[tuple[str, str, bool]]:
    """The fields: name, key in the file, and whether the value is marked as hidden."""
    hidden, keys = hidden_keys(model) - _HASHES, {id(field): key for key, field in keys_of(model).items()}
    names = {name: keys[id(field)] for name, field in model.model_fields.items()}
    return [(name, key, key in hidden) for name, key in names.items()]


def _is_plain(path: Path, text: str) -> bool:
    references = [match[1] for match in _NAMED.finditer(text.replace("$${", ""))]
    if references:
        return any(":-" in each and each.partition(":-")[2] for each in references)
    if path[-1] == "url" and "://" in text:
        return "@" in text.split("://", 1)[1] or "?" in text
    return bool(text.strip())
