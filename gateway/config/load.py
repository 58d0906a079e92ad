"""From the files of a directory to one Configuration, or to every error in them."""

import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from gateway.config import checks
from gateway.config.files import read_files
from gateway.config.models import FILES, AuthFile, Configuration, MiddlewareFile, Model, RoutesFile
from gateway.config.models.errors import to_fault
from gateway.config.named_files import named_in
from gateway.config.problems import ConfigError, Fault, Problem
from gateway.config.secrets import KnownSecrets
from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Document
from gateway.config.yaml.expand import Converter, Expander
from gateway.config.yaml.places import to_problem

__all__ = ["ConfigError", "Configuration", "Problem", "load", "parse"]


def load(
    directory: Path, environment: Mapping[str, str] = os.environ, secrets: KnownSecrets | None = None
) -> Configuration:
    """The configuration in a directory. Raises ConfigError with every error of all its files."""
    return parse(read_files(directory), environment, base=directory, secrets=secrets)


def parse(
    files: Mapping[str, bytes],
    environment: Mapping[str, str],
    *,
    base: Path,
    secrets: KnownSecrets | None = None,
    named: set[str] | None = None,
) -> Configuration:
    """The configuration that these contents, by file name, make up.

    `${...}` is taken from `environment` and from files, relative to `base`. What is found to be secret is added to
    `secrets`, and the other files that are named to `named`, also where the configuration is refused. Raises
    ConfigError with every error of all files.
    """
    expander = Expander(environment, base, secrets)
    readings = {name: _Reading(name, files.get(name, b""), expander) for name in FILES}
    names = expander.named.union(*(reading.named for reading in readings.values()))
    if named is not None:
        named |= names
    problems = [problem for reading in readings.values() for problem in reading.problems]
    if problems:
        raise ConfigError(problems)
    configuration = Configuration(
        routes=cast(RoutesFile, readings["routes.yaml"].model),
        middleware=cast(MiddlewareFile, readings["middleware.yaml"].model),
        auth=cast(AuthFile, readings["auth.yaml"].model),
        digest=_digest(files),
        base=base,
        documents={name: reading.document for name, reading in readings.items()},
        sources={name: content for name, content in files.items() if name not in FILES},
        named=frozenset(names),
    )
    problems = list(checks.run(checks.ERRORS, configuration, "error"))
    if problems:
        raise ConfigError(problems)
    return configuration


def _digest(files: Mapping[str, bytes]) -> str:
    digest = sha256()
    for name in (*FILES, *sorted(files.keys() - FILES.keys())):
        content = files.get(name, b"")
        digest.update(b"%d:" % len(content) + content)
    return digest.hexdigest()[:12]


class _Reading:
    """One file on its way: its document, and either its model or its problems, in the order of its lines."""

    def __init__(self, file: str, data: bytes, expander: Expander) -> None:
        self.model: Model | None = None
        self.named: set[str] = set()
        document, self.problems = compose(file, data)
        self.document = document or Document(file, None)
        if document is None:
            return
        if FILES[file] is RoutesFile and document.root is None:
            message = "the file is empty; it needs at least one route, with a path and a target"
            self.problems = [Problem(file, 0, 0, "", message)]
            return
        faults = dict.fromkeys(self._faults(document, expander))
        self.problems += [to_problem(document, fault) for fault in faults]
        self.problems.sort(key=lambda problem: (problem.line, problem.column))

    def _faults(self, document: Document, expander: Expander) -> Iterator[Fault]:
        converter = Converter(expander)
        value: Any = converter.convert(document.root)
        self.named.update(named_in(document.file, value))
        yield from converter.faults
        broken = {fault.path for fault in converter.faults}
        for fault in self._validate(document, value):
            # What could not be expanded is reported already; an error about its stand-in would say nothing new.
            if document.find(fault.path).path not in broken:
                yield fault

    def _validate(self, document: Document, value: Any) -> Iterator[Fault]:
        model = FILES[document.file]
        try:
            self.model = model.model_validate(value)
        except ValidationError as error:
            for details in error.errors(include_url=False, include_input=False):
                yield to_fault(document.file, details)
        if (check := checks.AS_READ.get(document.file)) is not None:
            yield from check(value, document)
