"""Metrics that the pages name, with the labels that they have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tests.docs.links import ROOT, pages
from tests.docs.metrics import SUFFIX, families

METRIC = re.compile(r"\b(?:gateway|http|llm|mcp)_[a-z0-9_]+\b")
SELECTED = re.compile(r"\b((?:gateway|http|llm|mcp)_[a-z0-9_]+)\{([^}]*)\}")
BY = re.compile(r"\bby ((?:`\w+`(?:, | and |, and )?)+)")
SENTENCE_ENDS = re.compile(r"[.;:|]\s|\n\n|\n- ")


async def test_labels_that_the_pages_name_are_those_of_the_metrics() -> None:
    """In expressions, and in prose that says by what to compare."""
    labels = {name: frozenset(family.labels) for name, family in (await families()).items()}
    wrong = [
        f"{page.relative_to(ROOT)}: {name} has no label {label}, but {sorted(labels[name])}"
        for page in pages()
        for name, label in (*_selected(page.read_text(), labels), *_in_prose(page.read_text(), labels))
        if label not in labels[name]
    ]
    assert wrong == []


def _selected(text: str, known: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, inner in SELECTED.findall(text):
        if (metric := SUFFIX.sub("", name)) in known:
            yield from ((metric, label) for label in re.findall(r"(\w+)\s*(?:[=!]|,|$)", re.sub(r'"[^"]*"', "", inner)))


def _in_prose(text: str, known: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for sentence in SENTENCE_ENDS.split(text):
        for match in BY.finditer(sentence):
            names = [SUFFIX.sub("", name) for name in METRIC.findall(sentence[: match.start()])]
            if names and names[-1] in known:
                yield from ((names[-1], label) for label in re.findall(r"`(\w+)`", match[1]))
