"""Reads a file of tests: its cases with their places, or every error in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.models.base import keys_of
from gateway.config.models.errors import to_fault
from gateway.config.problems import ConfigError, Fault, Problem, quote, suggest
from gateway.config.secrets import KnownSecrets
from gateway.config.yaml.compose import BARE_LIST, compose
from gateway.config.yaml.expand import Converter, Expander
from gateway.config.yaml.places import to_problem
from gateway.config.yaml.text import MAX_BYTES
from gateway.testing.model import Case, Expect, Request, TestsFile

_MODELS: Mapping[int, type[BaseModel]] = {1: TestsFile, 3: Case}
"""By the length of the way to one of their keys, but for those of a request and of what is expected."""


@dataclass(frozen=True, slots=True)
class PlacedCase:
    """A test, and where it stands."""

    case: Case
    file: str
    line: int
    column: int


def read_tests(path: Path, environment: Mapping[str, str], secrets: KnownSecrets) -> list[PlacedCase]:
    """The tests of a file, in their order; `${...}` is replaced as in a configuration. Raises ConfigError."""
    file = str(path)
    try:
        with path.open("rb") as stream:  # which may have no end
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(file, 0, 0, "", f"it cannot be read: {error.strerror}")]) from None
    document, problems = compose(file, data)
    if document is None:
        raise ConfigError(problems)
    converter = Converter(Expander(environment, path.parent, secrets))
    value: Any = converter.convert(document.root)
    faults = [*converter.faults]
    tests: TestsFile | None = None
    if not isinstance(value, dict) or set(value) == {BARE_LIST}:
        faults.append(Fault((), "a file of tests begins with tests:, and has a list of them below", show_value=False))
    else:
        try:
            tests = TestsFile.model_validate(value)
        except ValidationError as error:
            faults += [_fault(file, details) for details in error.errors(include_url=False, include_input=False)]
    if faults or problems or tests is None:
        problems += [to_problem(document, fault) for fault in dict.fromkeys(faults)]
        raise ConfigError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    places = [document.find(("tests", index)) for index in range(len(tests.tests))]
    return [PlacedCase(case, file, at.line, at.column) for case, at in zip(tests.tests, places, strict=True)]


def _fault(file: str, details: ErrorDetails) -> Fault:
    path, kind = details["loc"], details["type"]
    if kind == "model_type":
        return Fault(path, f"expected keys, such as {', '.join(keys_of(_model_at((*path, ''))))}")
    if kind not in ("missing", "extra_forbidden"):
        return to_fault(file, details, TestsFile)
    key, known = str(path[-1]), list(keys_of(_model_at(path)))
    if kind == "missing":
        return Fault(path[:-1], f'the key "{key}" is missing; add it', show_value=False)
    likely = suggest(key, known)
    remedy = f"did you mean {quote(likely)}?" if likely else f"known here: {', '.join(known)}"
    return Fault(path, f"unknown key; {remedy}", show_value=False)


def _model_at(path: tuple[int | str, ...]) -> type[BaseModel]:
    if len(path) == 4:
        return Request if path[2] == "request" else Expect
    return _MODELS[len(path)]
