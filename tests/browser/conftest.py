"""A real Chromium, without a screen. Nothing here runs in `make test`: `make test-browser` installs what it needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.scene import scene
from tests.support import GatewayProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
DESKTOP = {"width": 1440, "height": 900}
PATIENCE = 10_000  # milliseconds
PHONE = {"width": 390, "height": 844}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is here needs a browser."""
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker("browser")


def chromium() -> str:
    """The program. The environment variable CHROMIUM says which, where it has another name."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("there is no chromium (apt-get install chromium); or name one: CHROMIUM=/path/of/it")
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  only those who run these tests have it

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield started
        started.close()


class Watched:
    """A page, and what its browser complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self._complained(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _complained(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own for each test."""
    page = browser.new_page(viewport=DESKTOP)
    page.set_default_timeout(PATIENCE)
    yield page
    page.close()


@pytest.fixture
def watched(page: Page) -> Iterator[Watched]:
    """The same, at which no browser may have had anything to complain of at the end."""
    made = Watched(page)
    yield made
    assert made.complaints == []


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with services that are well and others that are not, and callers."""
    with scene(tmp_path_factory.mktemp("scene")) as (it, gateway):
        it.begin_calls(gateway, 40.0)
        yield gateway
