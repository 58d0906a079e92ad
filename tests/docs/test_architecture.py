import re
from pathlib import Path

import pytest

from .house import DRAWING, PAGE, ROOT, drawing

FILE = re.compile(r"`((?:[A-Za-z_0-9.-]+/)+|(?:[A-Za-z_0-9.-]+/)*[a-z_0-9]+\.(?:py|toml|txt|md))`(?! \(new\))")
"""A file or a folder in backticks; what a reader would add is marked as new."""


def is_there(name: str) -> bool:
    """Pages name files from the root of the project, or from `gateway/`."""
    return (ROOT / name).exists() or (ROOT / "gateway" / name).exists()


def house() -> str:
    return PAGE.read_text().split("```\ngateway/\n", 1)[1].split("```", 1)[0]


def test_the_drawing_is_the_import_contract() -> None:
    """The drawing in docs/architecture.md shows the layers of pyproject.toml; `python -m tests.docs.house` makes it."""
    assert DRAWING.findall(PAGE.read_text()) == [drawing()], "run python -m tests.docs.house"


def test_every_module_is_in_the_house() -> None:
    """The listing of the house in docs/architecture.md names every folder and module of gateway/ in a line."""
    found = {path.name + ("/" if path.is_dir() else "") for path in (ROOT / "gateway").iterdir()}
    modules = {name for name in found if name.endswith((".py", "/")) and not name.startswith("__")}
    assert {name for name in modules if not re.search(rf"(^|\W){re.escape(name)}", house())} == set()


def test_the_house_names_only_what_is_there() -> None:
    """Each file and folder that the listing of the house names exists below gateway/."""
    below = {path.name + ("/" if path.is_dir() else "") for path in (ROOT / "gateway").rglob("*")}
    assert set(re.findall(r"\b[a-z_0-9]+(?:\.py\b|/(?= |:))", house())) - below == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/http-conformance.md"])
def test_pages_name_files_that_exist(page: str) -> None:
    """Every file that these pages name in prose is in the project."""
    names = set(FILE.findall((ROOT / page).read_text()))
    assert {name for name in names if not is_there(name)} == set()


def cells(line: str) -> int:
    """A bar within backticks is of the text."""
    return len(re.findall(r"(?<!\\)\|", re.sub("`[^`]*`", "", line)))


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name
)
def test_rows_of_tables_have_the_cells_of_their_head(page: Path) -> None:
    """Each row of a table has as many cells as its head: what is beyond them, no reader of the page would see."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    tables = re.findall(r"(?m)(?:^\|.*\n)+", text)
    wrong = [row for table in tables for row in table.splitlines() if cells(row) != cells(table.splitlines()[0])]
    assert wrong == []
