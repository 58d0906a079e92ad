"""The files of a configuration directory, read as they are: the four, further route files, and the Python files of
policies."""

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from pydantic_core import PydanticCustomError

from gateway.config.models import FILES
from gateway.config.models.python_policies import split_class
from gateway.config.problems import ConfigError, Problem
from gateway.config.regular_files import read_regular
from gateway.config.route_files import MAX_FILES, is_route_file
from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Document, Entry, Mapping, Node, Scalar
from gateway.config.yaml.text import MAX_BYTES

Read = Callable[[Path, int], bytes]
"""Reads a regular file of at most so many bytes. Raises OSError or ValueError."""

_ATTEMPTS = 5
MAX_SOURCE_BYTES = 1024**2


def read_files(directory: Path, read: Read = read_regular) -> dict[str, bytes]:
    """The contents of routes.yaml (required), middleware.yaml, auth.yaml, models.yaml, of the files `routes.*.yaml`,
    and of the policies' Python files, by name.

    All are of one version: when a ConfigMap's symlinks are swapped in between, they are read again. Raises ConfigError
    when routes.yaml is not there, and no models.yaml either, or a file cannot be read.
    """
    for _ in range(_ATTEMPTS):
        version = _version(directory)
        files, problems = _read_once(directory, read)
        if _version(directory) == version:
            break
    if problems:
        raise ConfigError(problems)
    return files


def _version(directory: Path) -> list[str]:
    return [os.path.realpath(directory / name) for name in listed(directory)]


def listed(directory: Path) -> list[str]:
    """The names of the four files, whether they are there or not, and of all route files beside them."""
    return [*FILES, *sorted(filter(is_route_file, _names(directory)))]


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _read_once(directory: Path, read: Read) -> tuple[dict[str, bytes], list[Problem]]:
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    names = listed(directory)
    if len(names) > len(FILES) + MAX_FILES:
        message = f"there are more than {MAX_FILES} files routes.*.yaml; put some of them together"
        problems.append(_about(names[-1], message))
    for name in names[: len(FILES) + MAX_FILES]:
        try:
            files[name] = read(directory / name, MAX_BYTES)
        except FileNotFoundError:
            problems.extend(_missing(directory, name))
        except OSError as error:
            problems.append(
                _about(name, f"the file cannot be read: {error.strerror}; check {directory} and its permissions")
            )
        except ValueError as error:
            problems.append(_about(name, f"the file cannot be used: {error}; replace it"))
    for name in sorted(_names(directory)):
        if name.endswith(".yml") and is_route_file(name.removesuffix(".yml") + ".yaml"):
            problems.append(_about(name, f"this file is not read; rename it to {name.removesuffix('.yml')}.yaml"))
    policies = policy_files(files.get("middleware.yaml", b""))
    for name in dict.fromkeys((*policies, *guardrail_files(files.get("models.yaml", b"")))):
        with contextlib.suppress(OSError, ValueError):  # reported where the policy is loaded, with its line
            files[name] = read(directory / name, MAX_SOURCE_BYTES)
    return files, problems


def _missing(directory: Path, name: str) -> Iterator[Problem]:
    meant = [] if name not in FILES else [each for each in sorted(_names(directory)) if _means(each, name)]
    if name not in FILES:
        yield _about(name, "this is a link to a file that is not there; remove it, or correct where it leads")
    elif meant:
        yield from (_about(each, f"this file is not read; rename it to {name}") for each in meant)
    elif name == "routes.yaml" and not (directory / "models.yaml").exists():  # which has routes by itself
        yield _about(
            name, f"the file does not exist in {directory}; create it, or name another directory with --config"
        )


def _means(written: str, name: str) -> bool:
    """Whether a file is probably meant to be this one: without its rules, the gateway would be open."""
    stem, dot, ending = written.casefold().rpartition(".")
    return ending in ("yaml", "yml") and dot == "." and stem.rstrip("s") == name.removesuffix(".yaml").rstrip("s")


def _about(file: str, message: str) -> Problem:
    return Problem(file, 0, 0, "", message)


@lru_cache(maxsize=4)
def policy_files(middleware: bytes) -> tuple[str, ...]:
    """The files, as they are named there, relative to the configuration directory. Nothing where it is not YAML."""
    if b"policies" not in middleware:
        return ()
    document, _ = compose("middleware.yaml", middleware)
    return tuple(dict.fromkeys(_files(document, "policies", "class"))) if document else ()


@lru_cache(maxsize=4)
def guardrail_files(models: bytes) -> tuple[str, ...]:
    """The same of the guardrails of models.yaml."""
    if b"guardrails" not in models:
        return ()
    document, _ = compose("models.yaml", models)
    return tuple(dict.fromkeys(_files(document, "guardrails", "policy"))) if document else ()


def _files(document: Document, section: str, key: str) -> Iterator[str]:
    for policy in _entries(_entries(document.root).get(section)).values():
        named = _entries(policy).get(key)
        if named is None or not isinstance(named.node, Scalar):
            continue
        try:
            file, _, _ = split_class(named.node.text)
        except PydanticCustomError:
            continue
        if file:
            yield file


def _entries(value: Node | Entry | None) -> dict[str, Entry]:
    node = value.node if isinstance(value, Entry) else value
    return node.entries if isinstance(node, Mapping) else {}
