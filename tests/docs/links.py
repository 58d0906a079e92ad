"""Pages, their headings, and where their links lead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^(`{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    """Every page for readers of the project."""
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "bench/README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def prose(page: Path) -> str:
    """A page without what it shows of files and commands."""
    return FENCED.sub("", page.read_text())


def headings(page: Path) -> Iterator[tuple[int, str]]:
    """Each with its level, 1 for the title."""
    for match in HEADING.finditer(prose(page)):
        yield len(match[1]), match[2]


def anchor(heading: str) -> str:
    """As forges make it: lower case, no punctuation, hyphens for spaces."""
    kept = (letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return "".join(kept).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """What a link may name behind its #; a heading that comes again has a number at its end."""
    seen: dict[str, int] = {}
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', prose(page)))
    for _, heading in headings(page):
        name = anchor(heading)
        count = seen[name] = seen.get(name, -1) + 1
        found.add(f"{name}-{count}" if count else name)
    return found


def links(page: Path) -> list[str]:
    """Those within the project."""
    without_code = re.sub(r"(?<!`)`[^`\n]+`(?!`)(?!\])", "", prose(page))
    return [link for link in LINK.findall(without_code) if not re.match(r"[a-z]+:", link)]
