"""Methods that are probably misspelt: a route may name any, so none of them is an error."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault, suggest
from gateway.http.methods import REGISTERED

LIKENESS = 0.65  # GTE is GET; PURGE is not MERGE


def misspelt(configuration: Configuration) -> Iterator[Fault]:
    """Those that are not registered, and much like one that is."""
    known = sorted(REGISTERED)
    meant: dict[str, str | None] = dict.fromkeys(known)
    for index, route in enumerate(configuration.routes.routes):
        for number, method in enumerate(route.methods or ()):
            if method not in meant:
                meant[method] = suggest(method, known, LIKENESS)
            if (likely := meant[method]) is not None:
                yield Fault(("routes", index, "methods", number), f"{method} is no registered method; is it {likely}?")
