"""docs/README.md: a reader finds anything from there."""

from __future__ import annotations

import re

from gateway.cli import COMMANDS
from gateway.config.models import AuthFile, MiddlewareFile, RoutesFile
from gateway.config.models.routes import RouteConfig
from tests.docs.index import DOCS, PAGE, TITLE, lists
from tests.docs.links import links


def test_the_lists_are_made_of_the_pages() -> None:
    """Every page, heading and key is there; `python -m tests.docs.index` writes them."""
    assert PAGE.read_text().partition(f"{TITLE}\n")[2] == lists(), "run python -m tests.docs.index"


def test_it_leads_to_every_page() -> None:
    """There is a link to each page below docs/."""
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(PAGE)}
    assert {page for page in DOCS.rglob("*.md") if page != PAGE} - linked == set()


def test_every_key_of_the_files_is_there() -> None:
    """The keys of the three files and of a route lead somewhere."""
    keys = {key for model in (RoutesFile, MiddlewareFile, AuthFile, RouteConfig) for key in model.model_fields}
    hidden = {key for key in keys if f"[`{key}`](" not in PAGE.read_text()}
    assert hidden <= {"class_", "from_"}
    assert "rate_limits" in keys


def test_every_command_can_be_found() -> None:
    """The page, or the one about commands that it leads to, names each command."""
    commands = (DOCS / "commands.md").read_text()
    assert {name for name in COMMANDS if not re.search(rf"gateway {name}\b", commands)} == set()
