"""Takes the pictures of docs/dashboard.md: `PYTHONPATH=.venv/browser python -m tests.browser.screenshots [seconds]`.

Callers call for so many seconds before, so that charts have something to show: 330, unless another number is given.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.conftest import ARGUMENTS, DESKTOP, PHONE, chromium
from tests.browser.scene import scene
from tests.lifecycle.support import admin_url
from tests.support import GatewayProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SECONDS = 330
CALLS = 60.0  # per second


def overview(page: Page) -> None:
    """The charts of the last five minutes."""
    page.get_by_role("combobox", name="Over").select_option("5m")
    page.locator("#overview .tail li").first.wait_for()


def map_(page: Page) -> None:
    """A route that is not well, opened."""
    page.get_by_role("button", name="Route orders: details").click()
    page.locator(".endpoints tbody tr").first.wait_for()


def requests(page: Page) -> None:
    """One of them, opened."""
    page.locator("#requests tbody tr.failed").first.wait_for()
    page.get_by_role("button", name="Pause").click()
    page.locator("#requests tbody tr.failed .opener").first.click()
    page.locator("#requests .detail .explanation").wait_for()


def traffic(page: Page) -> None:
    """The charts of the busiest."""
    page.get_by_role("combobox", name="Charts").select_option("5m")
    page.locator("#traffic tbody tr").first.wait_for()


PICTURES: tuple[tuple[str, str, dict[str, int], str, Callable[[Page], None]], ...] = (
    ("overview", "overview", DESKTOP, "light", overview),
    ("overview-phone", "overview", PHONE, "dark", overview),
    ("map", "map", DESKTOP, "light", map_),
    ("traffic", "traffic", DESKTOP, "dark", traffic),
    ("requests", "requests?status=5xx", DESKTOP, "light", requests),
)


def take(browser: Browser, gateway: GatewayProcess) -> None:
    """All pictures."""
    IMAGES.mkdir(exist_ok=True)
    for name, view, size, scheme, prepare in PICTURES:
        page = browser.new_page(viewport=size, color_scheme=scheme)
        page.goto(admin_url(gateway, f"/#{view}"))
        page.wait_for_timeout(3000)  # until the first events
        prepare(page)
        page.wait_for_timeout(3000)  # until it is drawn
        page.screenshot(path=IMAGES / f"dashboard-{name}.png")
        page.close()


def main() -> None:
    """Take them."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  only those who do this have it

    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory() as directory, scene(Path(directory)) as (it, gateway), sync_playwright() as tool:
        it.begin_calls(gateway, CALLS)
        time.sleep(seconds)
        browser = tool.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        take(browser, gateway)
        browser.close()


if __name__ == "__main__":
    main()
