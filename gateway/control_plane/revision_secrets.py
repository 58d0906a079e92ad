"""Finds secrets that are written in a bundle as plain text: every viewer can read a revision."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Path, Problem
from gateway.config.secret_places import secret_places
from gateway.config.yaml.document import Scalar

_NAMED = re.compile(r"\$\{([^}]*)\}")
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
        for path in secret_places(model):
            place = configuration.documents[file].find(path)
            if isinstance(place.node, Scalar) and _is_plain(path, place.node.text):
                yield configuration.problem(file, path, MESSAGE)


def _is_plain(path: Path, text: str) -> bool:
    references = [match[1] for match in _NAMED.finditer(text.replace("$${", ""))]
    if references:
        return any(":-" in each and each.partition(":-")[2] for each in references)
    if path[-1] == "url" and "://" in text:
        return "@" in text.split("://", 1)[1] or "?" in text
    return bool(text.strip())
