"""The view of models: what they took, who asked, what was switched, and budgets."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from gateway.demo_models import DemoModels, serving
from tests.browser.audit import faint, nameless, too_wide
from tests.browser.conftest import DESKTOP, PHONE, Watched
from tests.lifecycle.support import admin_url
from tests.support import GatewayProcess, running_gateway

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEY = "a-key-of-acme-0123456789"
AUTH = f"""
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
default: [keys]
consumers: [{{name: acme-mobile, tenant: acme, keys: ["sha256:{sha256(KEY.encode()).hexdigest()}"]}}]
"""
MODELS = """
providers:
  first: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [k], models: [small]}
  second: {protocol: openai, base_url: "http://127.0.0.1:%d/v1", keys: [k], models: [small]}
model_routing: {default: fast, profiles: {fast: {prefer_providers: [first, second]}}}
prices: {unknown: free}
budgets: {daily: {key: [consumer], limits: [{tokens: 100000, window: day}], store: memory}}
"""


@contextmanager
def providers() -> Iterator[tuple[int, int]]:
    """Two, on a thread of their own: the first one refuses its key."""
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> tuple[int, int]:
        demos = (DemoModels(fault="fail-401"), DemoModels())
        first, second = [await stack.enter_async_context(serving(demo)) for demo in demos]
        return first, second

    try:
        yield asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that models were asked of."""
    directory: Path = tmp_path_factory.mktemp("models")
    (directory / "config").mkdir()
    with providers() as ports:
        (directory / "config" / "models.yaml").write_text(MODELS % ports)
        with running_gateway(directory, "routes: [{path: /else, respond: 204, auth: []}]\n", auth=AUTH) as gateway:
            body = {"model": "small", "messages": [{"role": "user", "content": "Say hi"}]}
            for stream in (False, True, True):
                url = f"{gateway.url}/v1/chat/completions"
                httpx2.post(url, json=body | {"stream": stream}, headers={"x-api-key": KEY}).raise_for_status()
            yield gateway


def opened(page: Page, gateway: GatewayProcess) -> Page:
    """The view, with its data."""
    page.goto(admin_url(gateway, "/#models"))
    page.locator("#models:not([hidden])").wait_for()
    page.locator("#models th[scope=row]", has_text="second/small").first.wait_for()
    return page


def test_the_view_shows_what_models_took(watched: Watched, asked: GatewayProcess) -> None:
    """Requests, tokens and speed of each, the switches away from one that is paused, the caller, and its budget."""
    page = opened(watched.page, asked)
    used = page.get_by_role("table", name="Models", exact=True).get_by_role("row").filter(has_text="second/small")
    cells = used.get_by_role("cell").all_inner_texts()
    assert cells[0] == "3"
    assert int(cells[1].replace(",", "")) > 0
    assert int(cells[3].replace(",", "")) > 0
    assert re.search(r"\d", cells[5])  # to the first content of what streamed
    switches = page.get_by_role("table", name="Switches").get_by_role("row").nth(1).inner_text()
    assert all(word in switches for word in ("first/small", "second/small", "key"))
    assert "first" in page.get_by_role("table", name="Paused").get_by_role("row").nth(1).inner_text()
    callers = page.get_by_role("table", name="Callers").get_by_role("row").nth(1).inner_text()
    assert "acme-mobile" in callers
    budgets = page.get_by_role("table", name="Budgets").get_by_role("row").nth(1).inner_text()
    assert "daily" in budgets
    assert "100.0 k" in budgets
    text = page.locator("#models").inner_text()
    assert not re.search(r"undefined|NaN|null|\[object", text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_the_view_can_be_read_by_everybody(
    browser: Browser, asked: GatewayProcess, size: dict[str, int], scheme: str
) -> None:
    """Nothing is cut off, faint or without a name."""
    page = browser.new_page(viewport=size, color_scheme=scheme)
    watched = Watched(page)
    opened(page, asked)
    page.wait_for_timeout(300)  # until it is drawn
    assert too_wide(page) <= 0
    assert faint(page) == []
    assert nameless(page) == []
    page.close()
    assert watched.complaints == []


def test_there_is_no_view_without_models(watched: Watched, busy: GatewayProcess) -> None:
    """Its tab is hidden where there is no models.yaml."""
    page = watched.page
    page.goto(admin_url(busy, "/"))
    page.locator("#connection .live").wait_for()
    assert page.locator("#tab-overview").is_visible()
    assert not page.locator("#tab-models").is_visible()
