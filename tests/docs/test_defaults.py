"""Defaults that pages repeat are those of docs/configuration.md, which is generated."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.links import ROOT

DOCS = ROOT / "docs"
ROW = re.compile(r"^\| (`[^|]+`) \| [^|]* \| ([^|]+) \|", re.MULTILINE)
REPEATED = re.compile(r"^\| [^|]+ \| `([^|`]+)` \| ([^|]+) \|", re.MULTILINE)


def defaults() -> Iterator[tuple[str, str]]:
    """Each key of the configuration, with what is above it, and its default as the page has it."""
    for section in re.split(r"^#{2,3} ", (DOCS / "configuration.md").read_text(), flags=re.MULTILINE):
        title, _, text = section.partition("\n")
        prefixes = re.findall(r"`([^`]+)`", title) or [""]
        for key, default in ROW.findall(text):
            yield from ((f"{prefix}.{key.strip('`')}".lstrip("."), default) for prefix in prefixes)


@pytest.mark.parametrize("page", ["security.md", "sizing.md"])
def test_a_repeated_default_is_the_default(page: str) -> None:
    """A row of these pages with a key of the configuration has its default."""
    known = dict(defaults())
    repeated = REPEATED.findall((DOCS / page).read_text())
    assert len(repeated) > 5
    assert {key: known[key] for key, _ in repeated} == dict(repeated)
