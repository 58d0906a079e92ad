"""Paths in the form of other gateways that are no error here, because they could be meant as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault, quote

_CAPTURE = re.compile(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")
_COLON = re.compile(r":([A-Za-z_][A-Za-z0-9_]*)\??", re.ASCII)
_ANGLES = re.compile(r"<(?:[a-z]+:)?([A-Za-z_][A-Za-z0-9_]*)>", re.ASCII)
_EXPRESSION = re.compile(r"\(.*\)|\[.*\]|\\[dwsDWS]|\.[*+]|^\^|\$$")


def literal(configuration: Configuration) -> Iterator[Fault]:
    """Segments that look like a capture or a regular expression, and are compared as they are."""
    for index, route in enumerate(configuration.routes.routes):
        for number, path in enumerate(route.paths or (route.path,)):
            place = ("routes", index, "paths", number) if route.paths else ("routes", index, "path")
            for segment in _CAPTURE.sub("", path or "").split("/"):
                # What to write where something else was meant; None where nothing was.
                named = _COLON.fullmatch(segment) or _ANGLES.fullmatch(segment)
                if named is not None:
                    remedy = f"for any segment write {{{named[1]}}}"
                elif _EXPRESSION.search(segment):
                    remedy = "a regular expression is written {name:[0-9]+}"
                else:
                    remedy = None
                if remedy:
                    yield Fault(place, f"{quote(segment)} is compared as it is written here; {remedy}")
