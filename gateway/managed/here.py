"""Checks of this machine for a control plane: its URL, its token, and authorities."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.config.local_sections import LOCAL
from gateway.config.models import Configuration
from gateway.config.problems import Fault
from gateway.managed.bundle_store import DIRECTORY, IDENTITY
from gateway.managed.settings import URL


def missing_here(configuration: Configuration, environment: Mapping[str, str]) -> Iterator[Fault]:
    """Files and variables that do not exist, or cannot be used."""
    base, middleware = configuration.base, configuration.middleware
    group = middleware.control_plane
    if group is None:
        return
    if group.url is None and not environment.get(URL, "").strip():
        message = (
            f"there is no url, and the variable {URL} is not set here, so that no control plane is called; add url"
        )
        yield Fault((LOCAL,), message, show_value=False)
    joined = base / middleware.state_directory / DIRECTORY / IDENTITY
    if group.token_file is not None and not (base / group.token_file).exists() and not joined.exists():
        message = f"there is no file {base / group.token_file} here; put the token, or a join token, there"
        yield Fault((LOCAL, "token_file"), message)
    if group.ca is not None and (reason := _unusable(base / group.ca)) is not None:
        yield Fault((LOCAL, "ca"), f"{base / group.ca} cannot be used here: {reason}; put authorities there, as PEM")


def _unusable(ca: Path) -> str | None:
    try:
        ssl.create_default_context(cafile=str(ca))
    except ssl.SSLError:
        return "it has no certificates"
    except OSError as error:
        return error.strerror or str(error)
    return None
