"""The lists of docs/README.md: every page, and every heading, key and command from A to Z.

`python -m tests.docs.index` writes them, below "Every page".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from tests.docs.links import ROOT, anchor, headings

DOCS = ROOT / "docs"
PAGE = DOCS / "README.md"
TITLE = "## Every page\n"
REFERENCE = DOCS / "configuration.md"
TABLES = ("routes.yaml", "middleware.yaml", "auth.yaml", "services.<name>", "routes[]", "schemes.<name>")
"""Sections of the reference whose keys people look for by name; the others hold the keys of these."""

SYNONYMS = {
    "Alarms": "metrics.md#worth-an-alert",
    "Aliases of models": "models.md#ten-minutes-two-providers-one-budget-a-failover",
    "API keys": "configuration.md#schemesnameapi_key",
    "Authentication": "configuration.md#schemesname",
    "Authorization": "configuration.md#routesauthorize",
    "Backup": "operating.md#back-up",
    "Basic authentication": "recipes/legacy-basic.md",
    "Clock that is wrong": "operating.md#when-the-machine-fails",
    "Dashboard": "dashboard.md",
    "Disk full": "operating.md#when-the-machine-fails",
    "Docker": "../deploy/Dockerfile",
    "gRPC and HTTP/2 (not spoken)": "../README.md#compared-with-what-you-may-run-now",
    "Ingress": "operating.md#behind-an-ingress-or-a-load-balancer",
    "Load balancing": "backends.md#balancing",
    "OAuth, OpenID Connect": "recipes/jwt-with-a-browser.md",
    "Passwords": "configuration.md#schemesnamebasic",
    "Plugins": "writing-middleware.md",
    "Prometheus": "metrics.md",
    "Realtime sessions": "models.md#some-models-only",
    "Regular expressions in paths": "configuration.md#paths",
    "Rollback": "operating.md#change-and-reload",
    "Rotation of keys, secrets and logs": "operating.md#rotate",
    "Rolling update": "restarting.md#a-rolling-update",
    "Secrets that cannot be read": "operating.md#when-the-machine-fails",
    "Service discovery": "backends.md#sources",
    "Shadow mode": "writing-middleware.md#notes",
    "SIGHUP, SIGTERM, SIGUSR1": "operating.md#signals",
    "Stored completions and responses": "models.md#what-a-provider-has-stored",
    "Streaming": "recipes/server-sent-events.md",
    "Time-outs": "configuration.md#timeouts",
    "TLS in front": "security.md#checklist-for-production",
    "Upgrading": "restarting.md",
    "X-Forwarded-For": "configuration.md#what-backends-receive",
}
"""Words that people look for, of what has another name here."""


def lists() -> str:
    """What stands below the title."""
    pages = sorted(page for page in DOCS.rglob("*.md") if page != PAGE)
    names = (f"- [{_title(page)}]({page.relative_to(DOCS)})" for page in pages)
    return "\n".join([*names, "", "## From A to Z", "", *_letters(sorted(_entries(), key=_order))])


def _letters(entries: list[tuple[str, str]]) -> Iterator[str]:
    for letter, group in groupby(entries, key=lambda entry: _order(entry)[0][0]):
        words = dict.fromkeys(f"[{word}]({link})" for word, link in group)
        yield f"**{letter.upper()}** {' · '.join(words)}\n"


def _order(entry: tuple[str, str]) -> tuple[str, str]:
    """Letters count, whatever stands in front of them."""
    return re.sub(r"[^a-z0-9 ]", "", entry[0].lower()).strip() or "-", entry[1]


def _entries() -> Iterator[tuple[str, str]]:
    """Each word, and where it leads."""
    yield from SYNONYMS.items()
    yield from _keys()
    for page in DOCS.rglob("*.md"):
        if page == PAGE:
            continue
        where = page.relative_to(DOCS)
        if where.parent.name == "recipes":
            if page.name != "README.md":
                yield _title(page), str(where)
            continue
        for level, heading in headings(page):
            if level in (2, 3) and not (page == REFERENCE and "`" in heading):
                yield heading.replace("`", ""), f"{where}#{anchor(heading)}"


def _keys() -> Iterator[tuple[str, str]]:
    """The keys of the files, of a route, a service and a scheme: to their own section, or to the table they are in."""
    text = REFERENCE.read_text()
    sections = {heading.replace("`", ""): anchor(heading) for _, heading in headings(REFERENCE)}
    for table in TABLES:
        rows = re.search(rf"^#+ `?{re.escape(table)}`?\n(.*?)(?=^#)", text, re.MULTILINE | re.DOTALL)
        prefix = "" if table.endswith(".yaml") else f"{table}."
        for key in re.findall(r"^\| `(\w+)` \|", rows[1] if rows else "", re.MULTILINE):
            own = (sections.get(f"{prefix}{key}{end}") for end in ("", "[]", ".<name>"))
            yield f"`{key}`", f"configuration.md#{next(filter(None, own), anchor(table))}"


def _title(page: Path) -> str:
    return next(heading for level, heading in headings(page) if level == 1)


def main() -> None:
    """Write the page."""
    before = PAGE.read_text().partition(TITLE)[0]
    PAGE.write_text(f"{before}{TITLE}\n{lists()}")


if __name__ == "__main__":
    main()
