"""docs/problems.md."""

from __future__ import annotations

from pathlib import Path

from gateway.errors import ErrorKind
from gateway.remedies import REMEDIES, render


def test_every_problem_type_has_its_place_on_the_page() -> None:
    """Each type has an anchor in docs/problems.md, with a cause and a remedy; `python -m gateway.remedies` makes it."""
    assert REMEDIES.keys() == {kind.slug for kind in ErrorKind}
    page = (Path(__file__).parent.parent / "docs/problems.md").read_text()
    assert page == render() + "\n"
    assert all(f"\n## {kind.slug}\n" in page for kind in ErrorKind)
