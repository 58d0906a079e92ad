"""Expressions over paths become patterns that take the same paths."""

from __future__ import annotations

import re

import pytest

from gateway.importing.regexes import Unsayable, patterns_of
from gateway.routes.rule import Match, Rule
from gateway.routes.table import RouteTable

SEGMENTS = ("a", "b", "ab", "7", "42x", "v1", "x.js")
PATHS = ("/", *(f"/{a}" for a in SEGMENTS), *(f"/{a}/{b}" for a in SEGMENTS for b in (*SEGMENTS, "", "a/b", "7/b")))


@pytest.mark.parametrize(
    "expression",
    [
        r"^/a$", r"^/a/?$", r"^/a/", r"^/a", r"^/a(/.*)?$", r"^/(a|b)/[0-9]+$", r"^/(a|b/7)$", r"^/v\d+/", r"^/v\d+",
        r"^/[^/]+/b$", r"^/(?<id>[^/]+)/(?<other>.*)$", r"^/[a-z]{1,2}/\d{2,3}?x?$", r"^/(?:a|ab)/(?:.*)", r"^/.*$",
        r"^/[\w.]+\.js$", r"^/a/+b", r"^(/a|/b)/7", r"(?i)^/A/B$", r"^/a/(b|ab)?$",
    ],
)  # fmt: skip
def test_patterns_take_what_the_expression_takes(expression: str) -> None:
    """For each path, the patterns agree with the expression, and the table takes what they take."""
    found = patterns_of(expression, anywhere=True)
    compiled = re.compile(expression.replace("(?<", "(?P<"))
    table = RouteTable([(Rule(id=str(n), path=p.text), p) for n, p in enumerate(found.patterns)])
    for path in PATHS:
        taken = any(pattern.fits(path) for pattern in found.patterns)
        assert taken == (compiled.match(path) is not None), (path, found)
        if taken:
            assert isinstance(table.match("GET", "", path, b"", [], {}), Match), (path, found)


@pytest.mark.parametrize(
    "expression", [r"\.php$", r"^/a/(?!b)", r"^/a/.*/b$", r"^/(a", r"^/(.+)\.js$", r"^a$", r"^/(a)\1", r"^/a/.*b"]
)
def test_what_has_no_pattern_is_refused(expression: str) -> None:
    """Looking around, references back, and what follows any number of segments have no pattern."""
    with pytest.raises(Unsayable):
        patterns_of(expression, anywhere=True)
