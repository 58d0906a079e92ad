"""The links of the pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.links import ROOT, anchors, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Each link within the project names a file that is there, and a heading that is in it."""
    for link in links(page):
        name, _, section = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not section or section in anchors(target), link
