"""The running configuration as a bundle, of the control plane or of the local files."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.bundles import Bundle
from gateway.config.files import MAX_SOURCE_BYTES, guardrail_files, policy_files
from gateway.config.history import Version
from gateway.config.local_sections import FILE, LOCAL, has_local, with_local, without_local
from gateway.config.problems import ConfigError, Problem
from gateway.config.regular_files import read_regular
from gateway.config.yaml.text import MAX_BYTES
from gateway.reload import CONTROL_PLANE

if TYPE_CHECKING:  # a gateway without a control plane needs none
    from gateway.control_messages import RunError

logger = logging.getLogger("gateway.managed")

MOST_MESSAGE: Final = 2000  # characters of an error


@dataclass(frozen=True, slots=True)
class Running:
    """The running configuration. `digest` None: there is none, or it is not a bundle."""

    digest: str | None = None
    bundle: Bundle | None = None  # where it is that of the local files
    sent: bool = False  # by the control plane, now or before a restart


def running(version: Version | None) -> Running:
    """The bundle of this version. Not for the event loop."""
    if version is None:
        return Running()
    if version.revision is not None:
        return Running(version.revision, sent=version.cause == CONTROL_PLANE)
    try:
        bundle = bundle_of(version.files)
    except ValueError as error:
        logger.warning("the local files cannot be compared with those of the control plane: %s", error)
        return Running()
    return Running(bundle.digest, bundle)


def bundle_of(files: Mapping[str, bytes]) -> Bundle:
    """The local files as a bundle: without what belongs to this machine. Raises ValueError."""
    texts = {name: data for name, data in files.items() if name.endswith(".yaml")}
    middleware = without_local(texts.pop(FILE, b""))
    return Bundle({**texts, FILE: middleware} if middleware else texts)


def version_of(bundle: Bundle, directory: Path) -> Version:
    """A bundle as it is served here: with what belongs to this machine, and the policies' files, which lie here.

    Raises ConfigError. Not for the event loop.
    """
    middleware = bundle.files.get(FILE, b"")
    if has_local(middleware):
        message = f"{LOCAL} belongs to each gateway's own file, and a bundle must not have it; remove it"
        raise ConfigError([Problem(FILE, 0, 0, LOCAL, message)])
    files = dict(bundle.files)
    for name in (*policy_files(middleware), *guardrail_files(files.get("models.yaml", b""))):
        with contextlib.suppress(OSError, ValueError):  # reported where the policy is loaded, with its line
            files[name] = read_regular(directory / name, MAX_SOURCE_BYTES)
    with contextlib.suppress(OSError, ValueError):
        files[FILE] = with_local(middleware, read_regular(directory / FILE, MAX_BYTES))
    return Version("", time.time(), CONTROL_PLANE, files, bundle.digest)


def run_error(problem: Problem, count: int, message: str, revision: str | None) -> RunError:
    """The first of so many problems; `message` is that of it, without secrets."""
    from gateway.control_messages import RunError  # noqa: PLC0415  as above

    text = f"{message} (and {count - 1} more)" if count > 1 else message
    place = {"line": problem.line, "column": problem.column} if problem.line else {}
    at = None if revision is None else datetime.now(UTC)
    return RunError(message=text[:MOST_MESSAGE], file=problem.file[:128], revision=revision, at=at, **place)
