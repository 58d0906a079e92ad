"""Secrets that stand in a file as they are, where everyone who may read it can use them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.config.models import Configuration
from gateway.config.problems import Fault
from gateway.config.secret_places import secret_places
from gateway.config.yaml.document import Scalar

_SAID: Final = frozenset({"keys", "headers"})
"""Keys of lists and tables that have warnings of their own."""


def in_routes(configuration: Configuration) -> Iterator[Fault]:
    """Of routes.yaml."""
    yield from _plain(configuration, "routes.yaml", configuration.routes)


def in_middleware(configuration: Configuration) -> Iterator[Fault]:
    """Of middleware.yaml."""
    yield from _plain(configuration, "middleware.yaml", configuration.middleware)


def in_auth(configuration: Configuration) -> Iterator[Fault]:
    """Of auth.yaml."""
    yield from _plain(configuration, "auth.yaml", configuration.auth)


def in_models(configuration: Configuration) -> Iterator[Fault]:
    """Of models.yaml."""
    yield from _plain(configuration, "models.yaml", configuration.models)


def _plain(configuration: Configuration, file: str, model: Any) -> Iterator[Fault]:
    for path in secret_places(model):
        if not _SAID.isdisjoint(path):
            continue
        node = configuration.documents[file].find(path).node
        # A URL is hidden for what it may have; most have nothing of that.
        if isinstance(node, Scalar) and not node.expanded and node.text and "://" not in node.text:
            yield Fault(path, "the secret is in plain text; write ${file:...} or ${NAME}", show_value=False)
