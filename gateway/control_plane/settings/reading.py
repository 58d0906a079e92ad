"""From control-plane.yaml to its settings, or to every error in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.config.models.errors import to_fault
from gateway.config.problems import ConfigError, Problem
from gateway.config.regular_files import read_regular
from gateway.config.secrets import KnownSecrets
from gateway.config.spelling import in_snake_case
from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Document
from gateway.config.yaml.expand import Converter, Expander
from gateway.config.yaml.places import to_problem
from gateway.config.yaml.text import MAX_BYTES
from gateway.control_plane.settings.file import ControlPlaneFile

FILE = "control-plane.yaml"


def read_settings(directory: Path, environment: Mapping[str, str], secrets: KnownSecrets) -> ControlPlaneFile:
    """The settings of the file in this directory, or the defaults without one.

    Raises ConfigError with every error.
    """
    try:
        data = read_regular(directory / FILE, MAX_BYTES)
    except FileNotFoundError:
        data = b""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError([Problem(FILE, 0, 0, "", f"the file cannot be read: {reason}; correct that")]) from None
    document, problems = compose(FILE, data)
    spelled, twice = in_snake_case(document or Document(FILE, None), ControlPlaneFile)
    problems = [*problems, *twice]
    if problems:
        raise ConfigError(problems)
    return _settings(spelled, Expander(environment, directory, secrets))


def _settings(document: Document, expander: Expander) -> ControlPlaneFile:
    converter = Converter(expander)
    value = converter.convert(document.root)
    broken = {fault.path for fault in converter.faults}
    above = {path[:-1] for path in broken}
    faults = list(converter.faults)
    try:
        settings = ControlPlaneFile.model_validate(value)
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=False):
            fault = to_fault(FILE, details, ControlPlaneFile)
            if document.find(fault.path).path not in broken and (
                details["type"] != "refused" or fault.path not in above
            ):
                faults.append(fault)
    if faults:
        problems = [to_problem(document, fault) for fault in faults]
        raise ConfigError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return settings
